//! One reading of all triggers of a database: equal queries once, quick ones first, slow ones apart.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use zeron_core::metric::Unknown;
use zeron_core::roles::{BoxFuture, TriggerHandle};

use super::back_off::BackOff;
use super::lane::{Lane, Question};
use super::query::QueryTrigger;
use super::{Answer, Database};
use crate::source::{Client, OnChange, Readings};

/// Longest time that a query may take of the quick ones' connection.
const PATIENCE: Duration = Duration::from_millis(500);

/// Connections for slow queries, opened when there are some.
const SLOW_CONNECTIONS: usize = 3;

/// What follows notifications of a database that sends some.
pub(crate) trait Listen: Send + Sync + fmt::Debug + 'static {
    /// Calls `on_change` with every notification on `channel`. `false`: it cannot.
    fn listen(&self, handle: TriggerHandle, channel: &str, on_change: OnChange) -> bool;

    /// Why nothing is heard.
    fn trouble(&self) -> Option<String>;

    /// Ends that.
    fn forget(&self, handle: TriggerHandle);
}

/// All triggers of one database and credentials.
pub(crate) struct SqlClient<D: Database> {
    database: Arc<D>,
    /// Begins every message: which server it is about.
    server: String,
    back_off: BackOff,
    quick: Lane<D>,
    slow: Lane<D>,
    turn: AtomicUsize,
    listener: Option<Box<dyn Listen>>,
}

impl<D: Database> SqlClient<D> {
    /// A client that connects on first use.
    pub(crate) fn new(
        database: Arc<D>,
        server: impl Into<String>,
        listener: Option<Box<dyn Listen>>,
    ) -> Self {
        Self {
            database,
            server: server.into(),
            back_off: BackOff::default(),
            quick: Lane::new(1),
            slow: Lane::new(SLOW_CONNECTIONS),
            turn: AtomicUsize::new(0),
            listener,
        }
    }

    async fn read_all(&self, triggers: &[Arc<QueryTrigger>], timeout: Duration) -> Vec<Readings> {
        let began = Instant::now();
        let deadline = began + timeout;
        self.slow.close_idle();
        let patience = PATIENCE.min(timeout / 4);
        let (slow, quick) = self.queries(triggers);
        let first = async {
            let question = Question {
                queries: &quick,
                limit: patience,
                began,
                deadline,
            };
            let answers = self.ask(&self.quick, question).await;
            let asked = quick.iter().cloned().zip(answers);
            let (again, done): (Vec<_>, Vec<_>) =
                asked.partition(|(_, answer)| *answer == Answer::Slow);
            let again: Vec<_> = again.into_iter().map(|(query, _)| query).collect();
            (done, self.ask_slow(&again, began, deadline).await)
        };
        let ((done, found_slow), known_slow) =
            tokio::join!(first, self.ask_slow(&slow, began, deadline));
        let mut answers: HashMap<Arc<str>, (Answer, bool)> = HashMap::new();
        for (query, answer) in done {
            // What broke the connection is kept away from the others.
            let is_slow = matches!(answer, Answer::Broke(_));
            answers.insert(query, (answer, is_slow));
        }
        for (query, answer, took) in found_slow.into_iter().chain(known_slow) {
            let is_quick = matches!(answer, Answer::Number(_)) && took < patience / 2;
            answers.insert(query, (answer, !is_quick));
        }
        triggers.iter().map(|it| self.judge(it, &answers)).collect()
    }

    /// The distinct queries, slow and quick ones, each time beginning with another: if time is short, it
    /// is not always the same that are left out.
    fn queries(&self, triggers: &[Arc<QueryTrigger>]) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let mut is_slow: HashMap<Arc<str>, bool> = HashMap::new();
        let mut order = Vec::new();
        for trigger in triggers {
            let known = is_slow.entry(Arc::clone(&trigger.query));
            let known = known.or_insert_with(|| {
                order.push(Arc::clone(&trigger.query));
                false
            });
            *known |= trigger.is_slow();
        }
        let (mut slow, mut quick): (Vec<_>, Vec<_>) =
            order.into_iter().partition(|query| is_slow[query]);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for queries in [&mut slow, &mut quick] {
            let first = turn.checked_rem(queries.len()).unwrap_or(0);
            queries.rotate_left(first);
        }
        (slow, quick)
    }

    async fn ask(&self, lane: &Lane<D>, question: Question<'_>) -> Vec<Answer> {
        if question.queries.is_empty() {
            return Vec::new();
        }
        lane.ask(&self.database, &self.back_off, question).await
    }

    /// Each on a connection of its own, as far as there are some. With how long each took.
    async fn ask_slow(
        &self,
        queries: &[Arc<str>],
        began: Instant,
        deadline: Instant,
    ) -> Vec<(Arc<str>, Answer, Duration)> {
        let each = queries.iter().map(|query| async move {
            let asked = Instant::now();
            let question = Question {
                queries: std::slice::from_ref(query),
                limit: deadline.saturating_duration_since(asked),
                began,
                deadline,
            };
            let answer = self.ask(&self.slow, question).await.remove(0);
            (Arc::clone(query), answer, asked.elapsed())
        });
        join_all(each).await
    }

    fn judge(
        &self,
        trigger: &QueryTrigger,
        answers: &HashMap<Arc<str>, (Answer, bool)>,
    ) -> Readings {
        let (answer, is_slow) = &answers[&trigger.query];
        trigger.set_slow(*is_slow);
        trigger.judge(answer).map_err(|reason| Unknown {
            kind: reason.kind,
            message: format!("{}: {}", self.server, reason.message),
        })
    }
}

impl<D: Database> fmt::Debug for SqlClient<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlClient")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl<D: Database> Client for SqlClient<D> {
    type Trigger = QueryTrigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<QueryTrigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(self.read_all(triggers, timeout))
    }

    fn watch(
        &self,
        handle: TriggerHandle,
        trigger: &Arc<QueryTrigger>,
        on_change: OnChange,
    ) -> bool {
        match (&self.listener, &trigger.channel) {
            (Some(listener), Some(channel)) => listener.listen(handle, channel, on_change),
            _ => false,
        }
    }

    fn push_trouble(&self, _: TriggerHandle, trigger: &QueryTrigger) -> Option<String> {
        let listener = self.listener.as_ref().filter(|_| trigger.channel.is_some());
        listener?.trouble()
    }

    fn forget(&self, handle: TriggerHandle, _trigger: &QueryTrigger) {
        if let Some(listener) = &self.listener {
            listener.forget(handle);
        }
    }
}

#[cfg(test)]
mod tests;
