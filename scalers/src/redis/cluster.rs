//! The nodes of a cluster, and which of them serves which key.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join_all, select_ok};
use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::connection::Access;
use super::error::ReadError;
use super::key::{Host, MAX_HOSTS};
use super::node::{Node, Place};
use super::slots::{SlotMap, redirection, slot};

/// Redirections that one question follows.
const MAX_TURNS: usize = 4;

/// A question about one key.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) slot: u16,
    pub(super) command: Cmd,
}

impl Request {
    pub(super) fn new(key: &str, command: Cmd) -> Self {
        Self {
            slot: slot(key),
            command,
        }
    }
}

/// A cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    seeds: Vec<Host>,
    access: Arc<Access>,
    shown: Arc<str>,
    nodes: Mutex<HashMap<Host, Arc<Node>>>,
    slots: Mutex<Option<Arc<SlotMap>>>,
    /// A node moved a slot or failed: the map is asked for again before its next use.
    is_stale: AtomicBool,
}

/// Where a question goes next.
enum Turn {
    Done(Result<Value, ReadError>),
    Again,
    /// To that node, announced: the slot is on its way there.
    Ask(Host),
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Host>, access: Arc<Access>, shown: Arc<str>) -> Self {
        Self {
            seeds,
            access,
            shown,
            nodes: Mutex::default(),
            slots: Mutex::default(),
            is_stale: AtomicBool::new(false),
        }
    }

    /// Asks every node for its keys, all nodes at once: one answer each, in the order of `requests`.
    pub(super) async fn run(
        &self,
        requests: &[Request],
        deadline: Instant,
    ) -> Vec<Result<Value, ReadError>> {
        let mut answers: Vec<Option<Result<Value, ReadError>>> = Vec::new();
        answers.resize_with(requests.len(), || None);
        for _ in 0..MAX_TURNS {
            let open: Vec<usize> = (0..requests.len())
                .filter(|at| answers[*at].is_none())
                .collect();
            if open.is_empty() {
                break;
            }
            let slots = match self.slots(deadline).await {
                Ok(slots) => slots,
                Err(error) => {
                    open.into_iter()
                        .for_each(|at| answers[at] = Some(Err(error.clone())));
                    break;
                }
            };
            let mut announced = HashMap::<Host, Vec<usize>>::new();
            for (at, turn) in self.turn(requests, &open, &slots, deadline).await {
                match turn {
                    Turn::Done(answer) => answers[at] = Some(answer),
                    Turn::Again => {}
                    Turn::Ask(host) => announced.entry(host).or_default().push(at),
                }
            }
            for (host, places) in announced {
                self.ask_announced(requests, &host, places, &mut answers, deadline)
                    .await;
            }
        }
        let left = answers.into_iter().zip(requests);
        left.map(|(answer, request)| answer.unwrap_or_else(|| Err(self.uncovered(request.slot))))
            .collect()
    }

    /// Who serves which slot, asked for where it is not known.
    pub(super) async fn slots(&self, deadline: Instant) -> Result<Arc<SlotMap>, ReadError> {
        let known = self.slots.lock().clone();
        if let Some(slots) = known
            .as_ref()
            .filter(|_| !self.is_stale.load(Ordering::Acquire))
        {
            return Ok(Arc::clone(slots));
        }
        self.is_stale.store(false, Ordering::Release);
        match self.ask_for_slots(known.as_deref(), deadline).await {
            Ok(slots) => {
                let slots = Arc::new(slots);
                self.keep_nodes(&slots);
                *self.slots.lock() = Some(Arc::clone(&slots));
                Ok(slots)
            }
            Err(error) => {
                self.suspect();
                known.ok_or(error)
            }
        }
    }

    /// The map may be wrong: it is asked for again before its next use.
    pub(super) fn suspect(&self) {
        self.is_stale.store(true, Ordering::Release);
    }

    /// How its nodes are reached.
    pub(super) fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Asks each node for what it serves by `slots`.
    async fn turn(
        &self,
        requests: &[Request],
        open: &[usize],
        slots: &SlotMap,
        deadline: Instant,
    ) -> Vec<(usize, Turn)> {
        let mut turns = Vec::with_capacity(open.len());
        let mut by_node = HashMap::<&Host, Vec<usize>>::new();
        for at in open {
            let slot = requests[*at].slot;
            match slots.node(slot) {
                Some(host) => by_node.entry(host).or_default().push(*at),
                None => {
                    self.suspect();
                    turns.push((*at, Turn::Done(Err(self.uncovered(slot)))));
                }
            }
        }
        let asked = by_node.into_iter().map(|(host, places)| async move {
            let commands: Vec<_> = places
                .iter()
                .map(|at| requests[*at].command.clone())
                .collect();
            let answers = self.node(host).run(&commands, deadline).await;
            let answers = answers.into_iter().map(|it| self.judge(it, host));
            places.into_iter().zip(answers).collect::<Vec<_>>()
        });
        turns.extend(join_all(asked).await.into_iter().flatten());
        turns
    }

    fn judge(&self, answer: Result<Value, ReadError>, asked: &Host) -> Turn {
        let error = match answer {
            Ok(Value::ServerError(error)) => error,
            Ok(value) => return Turn::Done(Ok(value)),
            Err(error) => {
                self.suspect();
                return Turn::Done(Err(error));
            }
        };
        let to = redirection(error.details().unwrap_or_default(), asked);
        match (error.code(), to) {
            ("MOVED", Some((slot, host))) => {
                self.suspect();
                let mut slots = self.slots.lock();
                if let Some(slots) = slots.as_mut() {
                    Arc::make_mut(slots).redirect(slot, host);
                }
                Turn::Again
            }
            ("ASK", Some((_, host))) => Turn::Ask(host),
            _ => Turn::Done(Ok(Value::ServerError(error))),
        }
    }

    /// Asks a node for keys that it is just being given.
    async fn ask_announced(
        &self,
        requests: &[Request],
        host: &Host,
        places: Vec<usize>,
        answers: &mut [Option<Result<Value, ReadError>>],
        deadline: Instant,
    ) {
        let commands: Vec<_> = places
            .iter()
            .flat_map(|at| [redis::cmd("ASKING"), requests[*at].command.clone()])
            .collect();
        let found = self.node(host).run(&commands, deadline).await;
        let found = found.into_iter().skip(1).step_by(2);
        for (at, answer) in places.into_iter().zip(found) {
            answers[at] = Some(answer);
        }
    }

    /// Asks all nodes at once who serves what: the first that knows is believed.
    async fn ask_for_slots(
        &self,
        known: Option<&SlotMap>,
        deadline: Instant,
    ) -> Result<SlotMap, ReadError> {
        let mut hosts = self.seeds.clone();
        hosts.truncate(MAX_HOSTS / 2);
        let nodes = known.map(SlotMap::nodes).unwrap_or_default();
        hosts.extend(nodes.into_iter().filter(|it| !self.seeds.contains(it)));
        hosts.truncate(MAX_HOSTS);
        let asked = hosts.into_iter().map(|host| {
            Box::pin(async move {
                let mut question = redis::cmd("CLUSTER");
                question.arg("SLOTS");
                let answer = self.node(&host).run(&[question], deadline).await.pop();
                let server: Arc<str> = host.to_string().into();
                match answer {
                    Some(Ok(Value::ServerError(error))) => {
                        Err(ReadError::from_server(&server, &error))
                    }
                    Some(Ok(answer)) => match SlotMap::parse(&answer, &host) {
                        Some(slots) if slots.nodes().is_empty() => Err(self.uncovered(0)),
                        Some(slots) => Ok(slots),
                        None => Err(ReadError::Garbled { server }),
                    },
                    Some(Err(error)) => Err(error),
                    None => Err(ReadError::Garbled { server }),
                }
            })
        });
        let (slots, _) = select_ok(asked).await?;
        Ok(slots)
    }

    fn node(&self, host: &Host) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(host.clone()).or_insert_with(|| {
            Arc::new(Node::new(Place::At(host.clone()), Arc::clone(&self.access)))
        });
        Arc::clone(node)
    }

    fn keep_nodes(&self, slots: &SlotMap) {
        let serving = slots.nodes();
        let mut nodes = self.nodes.lock();
        nodes.retain(|host, _| serving.contains(host) || self.seeds.contains(host));
    }

    fn uncovered(&self, slot: u16) -> ReadError {
        ReadError::Uncovered {
            server: Arc::clone(&self.shown),
            slot,
        }
    }
}
