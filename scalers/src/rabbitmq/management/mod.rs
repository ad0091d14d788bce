//! Asks the management API (`rabbitmq_management`) over HTTP.
//!
//! Equal questions are asked once, at most eight requests are under way, and many queues of one virtual host are read
//! by one paged listing with the needed columns alone. Reference: <https://www.rabbitmq.com/docs/http-api-reference>.

mod answer;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;
use zeron_core::metric::{Unknown, UnknownKind};

use super::escaping::encode;
use super::formula::{Figures, Operation};
use super::trigger::{Login, RabbitTrigger, SourceKey, Target};
use crate::AddressPolicy;
use crate::http::{Basic, HttpClient, Url, parse_url};
use crate::source::{Readings, unknown};
use answer::{Page, Wrong};
use plan::{PAGE, Question, Request};

/// The columns that are read.
const COLUMNS: &str = "columns=name,messages,messages_ready,\
    message_stats.publish_details.rate,message_stats.deliver_get_details.rate";
/// How long it is remembered that a virtual host has too many queues for a listing.
const SPARSE_FOR: Duration = Duration::from_secs(60);
/// Pages of a listing that are read; more queues than on these are asked for one by one.
const MAX_PAGES: u64 = 40;

type Answers = Vec<(Question, Result<Figures, Unknown>)>;

/// A client of one server's management API.
pub(super) struct Management {
    http: HttpClient,
    /// Scheme, host, port and prefix.
    base: String,
    basic: Option<Basic>,
    /// Host and port.
    shown: String,
    /// Virtual hosts that are not listed, until when.
    sparse: Mutex<BTreeMap<String, Instant>>,
}

/// Shows no credentials.
impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Management({})", self.shown)
    }
}

impl Management {
    /// A client without a connection.
    pub(super) fn new(key: &SourceKey, policy: AddressPolicy) -> Self {
        let scheme = if key.tls.is_some() { "https" } else { "http" };
        let host = match key.name.contains(':') {
            true => format!("[{}]", key.name),
            false => encode(&key.name),
        };
        let basic = match &key.login {
            Login::Password { user, password } => {
                Some((user.expose().to_owned(), password.clone()))
            }
            Login::Anonymous | Login::Certificate => None,
        };
        Self {
            http: HttpClient::new(policy, &key.tls.clone().unwrap_or_default()),
            base: format!("{scheme}://{host}:{}{}", key.port, key.prefix),
            basic,
            shown: key.shown(),
            sparse: Mutex::default(),
        }
    }

    /// One answer per trigger, in their order.
    pub(super) async fn read(
        &self,
        triggers: &[Arc<RabbitTrigger>],
        timeout: Duration,
    ) -> Vec<Readings> {
        let until = Instant::now() + timeout;
        let questions: Vec<_> = triggers.iter().map(|it| question(it, timeout)).collect();
        let distinct = questions.iter().cloned().collect();
        let requests = plan::requests(distinct, &self.sparse());
        let answers = join_all(requests.into_iter().map(|it| self.answer(it, until))).await;
        let answers: BTreeMap<_, _> = answers.into_iter().flatten().collect();
        let read = triggers.iter().zip(&questions);
        read.map(|(trigger, question)| match answers.get(question) {
            Some(Ok(figures)) => Ok(vec![trigger.reading(figures)]),
            Some(Err(error)) => Err(error.clone()),
            None => Err(unknown(UnknownKind::NotRead, "left out")),
        })
        .collect()
    }

    /// The virtual hosts that are not listed just now.
    fn sparse(&self) -> BTreeSet<String> {
        let mut sparse = self.sparse.lock();
        sparse.retain(|_, until| Instant::now() < *until);
        sparse.keys().cloned().collect()
    }

    async fn answer(&self, request: Request, until: Instant) -> Answers {
        match request {
            Request::Single(question) => vec![self.single(question).await],
            Request::Listing(questions) => self.listing(questions, until).await,
        }
    }

    async fn single(&self, question: Question) -> (Question, Result<Figures, Unknown>) {
        let answer = match &question.target {
            Target::Queue(queue) => self.queue(&question, queue).await,
            Target::Expression {
                expression,
                page_size,
                operation,
            } => {
                self.expression(&question, expression, *page_size, *operation)
                    .await
            }
        };
        (question, answer)
    }

    async fn queue(&self, question: &Question, queue: &str) -> Result<Figures, Unknown> {
        let vhost = &question.vhost;
        let path = format!("queues/{}/{}?{COLUMNS}", encode(vhost), encode(queue));
        let what = format!("queue {queue:?} of virtual host {vhost:?}");
        let body = self.get(&path, &what, question.timeout).await?;
        let figures = answer::queue(&body);
        figures
            .and_then(|record| answer::figures(&record, question.is_ready_only))
            .map_err(|wrong| self.wrong(&wrong))
    }

    async fn expression(
        &self,
        question: &Question,
        expression: &str,
        page_size: u64,
        operation: Operation,
    ) -> Result<Figures, Unknown> {
        let vhost = &question.vhost;
        let filter = format!("&use_regex=true&name={}", encode(expression));
        let page = self
            .page(vhost, 1, page_size, &filter, question.timeout)
            .await?;
        if page.pages > 1 {
            let message = format!(
                "queueName matches {} queues, more than one page of {page_size}: raise pageSize",
                page.total
            );
            return Err(unknown(UnknownKind::Configuration, message));
        }
        page.whole()
            .and_then(|queues| answer::combined(queues, operation, question.is_ready_only))
            .map_err(|wrong| self.wrong(&wrong))
    }

    async fn page(
        &self,
        vhost: &str,
        number: u64,
        size: u64,
        filter: &str,
        timeout: Duration,
    ) -> Result<Page, Unknown> {
        let path = format!(
            "queues/{}?page={number}&page_size={size}&pagination=true{filter}&{COLUMNS}",
            encode(vhost)
        );
        let what = format!("virtual host {vhost:?}");
        let body = self.get(&path, &what, timeout).await?;
        answer::page(&body).map_err(|wrong| self.wrong(&wrong))
    }

    /// Reads all queues of a virtual host and picks those that are asked for. What is not on the listing is asked for
    /// alone: only the server knows whether it is missing or was created meanwhile.
    async fn listing(&self, questions: Vec<Question>, until: Instant) -> Answers {
        let mut records = BTreeMap::new();
        if let Err(error) = self.list(&questions, &mut records).await {
            return questions
                .into_iter()
                .map(|it| (it, Err(error.clone())))
                .collect();
        }
        let (mut answers, mut alone) = (Answers::new(), Vec::new());
        for question in questions {
            let Target::Queue(queue) = &question.target else {
                continue;
            };
            match records.get(queue) {
                Some(record) => {
                    let figures = answer::figures(record, question.is_ready_only)
                        .map_err(|wrong| self.wrong(&wrong));
                    answers.push((question, figures));
                }
                None => alone.push(question),
            }
        }
        answers.extend(join_all(alone.into_iter().map(|it| self.alone(it, until))).await);
        answers
    }

    async fn alone(
        &self,
        question: Question,
        until: Instant,
    ) -> (Question, Result<Figures, Unknown>) {
        let left = until.saturating_duration_since(Instant::now());
        let shorter = Question {
            timeout: question.timeout.min(left),
            ..question.clone()
        };
        (question, self.single(shorter).await.1)
    }

    /// Reads pages into `records`, none where the virtual host has too many other queues.
    async fn list(
        &self,
        questions: &[Question],
        records: &mut BTreeMap<String, Value>,
    ) -> Result<(), Unknown> {
        let Some(Question { vhost, timeout, .. }) = questions.first() else {
            return Ok(());
        };
        let until = Instant::now() + *timeout;
        let first = self.page(vhost, 1, PAGE, "", *timeout).await?;
        if plan::is_sparse(questions.len(), first.total) || first.pages > MAX_PAGES {
            let sparse_until = Instant::now() + SPARSE_FOR;
            self.sparse.lock().insert(vhost.clone(), sparse_until);
        } else {
            let left = until.saturating_duration_since(Instant::now());
            let others = (2..=first.pages).map(|it| self.page(vhost, it, PAGE, "", left));
            for page in join_all(others).await {
                keep(records, page?);
            }
        }
        keep(records, first);
        Ok(())
    }

    async fn get(&self, path: &str, what: &str, timeout: Duration) -> Result<Vec<u8>, Unknown> {
        let url = self.url(path)?;
        let answer = self
            .http
            .get(&url, &[], self.basic.as_ref(), timeout)
            .await?;
        if answer.status() == 400 {
            let message = format!("{} refused the request for {what}", self.shown);
            return Err(unknown(UnknownKind::Configuration, message));
        }
        answer.body_or_missing(what)
    }

    fn url(&self, path: &str) -> Result<Url, Unknown> {
        parse_url(&format!("{}/api/{path}", self.base))
            .map_err(|wrong| unknown(UnknownKind::Configuration, format!("host {wrong}")))
    }

    fn wrong(&self, wrong: &Wrong) -> Unknown {
        let kind = match wrong {
            Wrong::NoFigures(_) => UnknownKind::Missing,
            Wrong::Shape(_) | Wrong::Short { .. } | Wrong::Number(_) => UnknownKind::Parse,
        };
        unknown(kind, format!("{} {wrong}", self.shown))
    }
}

fn question(trigger: &RabbitTrigger, timeout: Duration) -> Question {
    Question {
        vhost: trigger.vhost.clone(),
        timeout: trigger.timeout.unwrap_or(timeout).min(timeout),
        target: trigger.target.clone(),
        is_ready_only: trigger.is_ready_only,
    }
}

fn keep(records: &mut BTreeMap<String, Value>, page: Page) {
    let named = page.queues.into_iter();
    records.extend(named.map(|record| (answer::name(&record).to_owned(), record)));
}
