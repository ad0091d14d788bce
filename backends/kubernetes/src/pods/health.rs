//! Whether the watch still shows what is: since when each part of it is interrupted.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What the watch showed before an interruption counts for so long; after that it is unknown.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// A watch that goes on after an interruption says so with the next change, which may never come.
/// If nothing comes for so long, everything is listed anew.
pub(super) const LIST_AFTER: Duration = Duration::from_secs(10);
/// Such a list begins anew when nothing of it comes for so long.
pub(super) const LIST_WITHIN: Duration = Duration::from_secs(60);

/// Interruptions that are not over, by namespace; `None`: of all of them.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Vec<(Option<Arc<str>>, Instant)>>);

impl Health {
    /// The watch of a namespace, or of all, was interrupted.
    pub(super) fn interrupted(&self, scope: Option<&Arc<str>>) {
        let mut since = self.0.lock();
        if !since.iter().any(|(other, _)| other.as_ref() == scope) {
            since.push((scope.cloned(), Instant::now()));
        }
    }

    /// It shows what is.
    pub(super) fn restored(&self, scope: Option<&Arc<str>>) {
        self.0.lock().retain(|(other, _)| other.as_ref() != scope);
    }

    /// For how long nothing has been known of a namespace, beyond what still counts as fresh.
    pub(super) fn stale_for(&self, namespace: &str) -> Option<Duration> {
        let since = self.0.lock();
        let is_in = |scope: &Option<Arc<str>>| scope.as_ref().is_none_or(|it| **it == *namespace);
        let oldest = since.iter().filter(|(scope, _)| is_in(scope));
        let age = oldest.map(|(_, at)| *at).min()?.elapsed();
        (age >= FRESH_FOR).then_some(age)
    }
}
