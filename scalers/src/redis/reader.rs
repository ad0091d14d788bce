//! All triggers of one source read at once: as few commands as there are different questions, in bounded pipelines.

use std::collections::HashMap;
use std::sync::Arc;

use redis::Value;
use tokio::time::Instant;

use super::cluster::{Cluster, Request};
use super::connection::Access;
use super::error::ReadError;
use super::key::{Servers, SourceKey};
use super::measure::{Command, Failure, Kind, Measure, Step};
use super::node::{Node, Place};
use super::sentinel::Sentinels;
use super::trigger::RedisTrigger;
use crate::AddressPolicy;

/// Commands that one question takes at most: a guess, its type, its length, and that once more.
const MAX_ROUNDS: usize = 5;

/// The servers of one source.
#[derive(Debug)]
pub(super) enum Server {
    /// One that knows all keys.
    One(Node),
    /// Many that share them.
    Cluster(Cluster),
}

/// Reads the triggers of one source.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) server: Server,
    /// The source in messages.
    pub(super) shown: Arc<str>,
}

/// One question, which may be that of many triggers.
struct Question<'a> {
    trigger: &'a RedisTrigger,
    command: Command,
    result: Option<Result<u64, ReadError>>,
}

impl Reader {
    pub(super) fn new(key: &SourceKey, policy: &AddressPolicy) -> Self {
        let shown: Arc<str> = key.to_string().into();
        let access = |database| {
            let (credentials, tls) = (key.credentials.clone(), key.tls.clone());
            Arc::new(Access::new(policy.clone(), credentials, database, tls))
        };
        let server = match &key.servers {
            Servers::Single(host) => {
                Server::One(Node::new(Place::At(host.clone()), access(key.database)))
            }
            Servers::Cluster(seeds) => {
                Server::Cluster(Cluster::new(seeds.clone(), access(0), Arc::clone(&shown)))
            }
            Servers::Sentinel {
                sentinels,
                master,
                credentials,
            } => {
                let sentinels = Sentinels {
                    hosts: sentinels.clone(),
                    master: master.clone(),
                    access: Arc::new(Access::new(
                        policy.clone(),
                        credentials.clone(),
                        0,
                        key.tls.clone(),
                    )),
                };
                Server::One(Node::new(Place::Master(sentinels), access(key.database)))
            }
        };
        Self { server, shown }
    }

    /// What each of `triggers` measures, in their order.
    pub(super) async fn measure(
        &self,
        triggers: &[Arc<RedisTrigger>],
        deadline: Instant,
    ) -> Vec<Result<u64, ReadError>> {
        let (mut questions, places) = questions(triggers);
        for _ in 0..MAX_ROUNDS {
            let mut open: Vec<_> = questions
                .iter_mut()
                .filter(|it| it.result.is_none())
                .collect();
            if open.is_empty() {
                break;
            }
            let requests: Vec<_> = open.iter().map(|it| it.request()).collect();
            let answers = self.ask(requests, deadline).await;
            for (question, answer) in open.iter_mut().zip(answers) {
                self.take(question, answer);
            }
        }
        let result = |at: usize| {
            let question: &Question<'_> = &questions[at];
            let unsettled = || {
                let key = question.trigger.measure.key().to_owned();
                Err(self.failed(Failure::Unsettled { key }))
            };
            question.result.clone().unwrap_or_else(unsettled)
        };
        places.into_iter().map(result).collect()
    }

    async fn ask(
        &self,
        requests: Vec<Request>,
        deadline: Instant,
    ) -> Vec<Result<Value, ReadError>> {
        match &self.server {
            Server::One(node) => {
                let commands: Vec<_> = requests.into_iter().map(|it| it.command).collect();
                node.run(&commands, deadline).await
            }
            Server::Cluster(cluster) => cluster.run(&requests, deadline).await,
        }
    }

    fn take(&self, question: &mut Question<'_>, answer: Result<Value, ReadError>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                question.result = Some(Err(error));
                return;
            }
        };
        let command = question.command;
        match question.trigger.measure.next(command, &answer) {
            Some(Step::Ask(next)) => question.command = next,
            Some(Step::Done(result)) => {
                match command {
                    Command::Length(kind) if result.is_ok() => {
                        *question.trigger.last_kind.lock() = kind;
                    }
                    // Created anew, it is likely a list.
                    Command::Type => *question.trigger.last_kind.lock() = Kind::default(),
                    _ => {}
                }
                question.result = Some(result.map_err(|failure| self.failed(failure)));
            }
            None => {
                let Value::ServerError(error) = &answer else {
                    return;
                };
                question.result = Some(Err(ReadError::from_server(&self.shown, error)));
            }
        }
    }

    fn failed(&self, failure: Failure) -> ReadError {
        ReadError::Answer {
            server: Arc::clone(&self.shown),
            failure,
        }
    }
}

impl Question<'_> {
    fn request(&self) -> Request {
        let measure = &self.trigger.measure;
        Request::new(measure.key(), measure.request(self.command))
    }
}

/// Each different question once, and which of them is whose.
fn questions(triggers: &[Arc<RedisTrigger>]) -> (Vec<Question<'_>>, Vec<usize>) {
    let mut questions = Vec::new();
    let mut known = HashMap::<&Measure, usize>::with_capacity(triggers.len());
    let places = triggers
        .iter()
        .map(|trigger| {
            *known.entry(&trigger.measure).or_insert_with(|| {
                questions.push(Question {
                    trigger,
                    command: trigger.measure.first(*trigger.last_kind.lock()),
                    result: None,
                });
                questions.len() - 1
            })
        })
        .collect();
    (questions, places)
}
