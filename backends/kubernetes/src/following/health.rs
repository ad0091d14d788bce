//! Whether a watch still shows what is: since when each part of it is interrupted.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;
use zeron_core::metric::{Unknown, UnknownKind};

use crate::counters::Counters;

/// What a watch showed before an interruption counts for so long; after that it is unknown.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// Interruptions of one kind's watches that are not over.
#[derive(Debug)]
pub(crate) struct Health {
    /// The kind's name in logs and metrics.
    pub(super) what: &'static str,
    pub(super) counters: Arc<Counters>,
    /// By namespace; `None`: of all of them.
    since: Mutex<Vec<(Option<Arc<str>>, Instant)>>,
    shown: Gauge,
}

impl Health {
    /// Nothing is interrupted. `what` names what is watched, such as `pods`.
    pub(crate) fn new(what: &'static str, counters: Arc<Counters>) -> Self {
        Self {
            what,
            shown: counters.interrupted_watches(what),
            counters,
            since: Mutex::default(),
        }
    }

    /// The watch of a namespace, or of all, was interrupted.
    pub(crate) fn interrupted(&self, scope: Option<&Arc<str>>) {
        self.counters.watch_errors.inc();
        let mut since = self.since.lock();
        if !since.iter().any(|(other, _)| other.as_ref() == scope) {
            since.push((scope.cloned(), Instant::now()));
            self.shown.inc();
        }
    }

    /// It shows what is.
    pub(crate) fn restored(&self, scope: Option<&Arc<str>>) {
        let mut since = self.since.lock();
        if let Some(at) = since.iter().position(|(other, _)| other.as_ref() == scope) {
            since.swap_remove(at);
            self.shown.dec();
        }
    }

    /// For how long nothing has been known of a namespace, beyond what still counts as fresh.
    pub(crate) fn stale_for(&self, namespace: &str) -> Option<Duration> {
        self.stale(|scope| scope.is_none_or(|it| it == namespace))
    }

    /// The same of any part of what is watched.
    pub(crate) fn stale_anywhere(&self) -> Option<Duration> {
        self.stale(|_| true)
    }

    fn stale(&self, concerns: impl Fn(Option<&str>) -> bool) -> Option<Duration> {
        let since = self.since.lock();
        let concerned = since.iter().filter(|(scope, _)| concerns(scope.as_deref()));
        let age = concerned.map(|(_, at)| *at).min()?.elapsed();
        (age >= FRESH_FOR).then_some(age)
    }
}

/// Why nothing that the watch of `what` showed counts any more. A failure, and shown as one: whoever asks has waited.
pub(crate) fn unseen(what: &str, age: Duration) -> Unknown {
    let seconds = age.as_secs();
    Unknown {
        kind: UnknownKind::Transport,
        message: format!("the {what} have not been seen for {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_namespace_whose_watch_is_broken_is_stale() {
        let counters = Arc::new(Counters::new());
        let health = Health::new("pods", Arc::clone(&counters));
        let shown = || counters.interrupted_watches("pods").get();
        let one = Arc::<str>::from("one");
        health.interrupted(Some(&one));
        health.interrupted(Some(&one));
        assert_eq!((health.stale_for("one"), shown()), (None, 1));
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(health.stale_for("one"), Some(FRESH_FOR));
        assert_eq!(health.stale_anywhere(), Some(FRESH_FOR));
        assert_eq!(health.stale_for("two"), None);
        health.restored(Some(&one));
        assert_eq!((health.stale_anywhere(), shown()), (None, 0));
        health.interrupted(None);
        tokio::time::advance(FRESH_FOR).await;
        assert_eq!(health.stale_for("two"), Some(FRESH_FOR));
    }
}
