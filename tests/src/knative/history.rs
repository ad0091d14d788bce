//! Replica counts over time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::revision::Revision;

/// How often the count is looked at.
const EVERY: Duration = Duration::from_millis(50);

/// Every replica count that a revision's Deployment asks for, as it changes.
#[derive(Debug)]
pub struct History {
    is_ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Revision<'_> {
    /// Begins to note them.
    pub fn history(&self) -> History {
        let is_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_ended);
        let (cluster, namespace) = (self.namespace().cluster(), self.namespace().name());
        let (namespace, deployment) = (namespace.to_owned(), self.deployment());
        let thread = thread::spawn(move || {
            let mut counts = Vec::new();
            loop {
                // Asked for before the last look, so that the last look is after the end.
                let is_last = ended.load(Ordering::Relaxed);
                let found = cluster.get_in(Some(&namespace), "apps/v1/Deployment", &deployment);
                counts.extend(found.and_then(|found| found["spec"]["replicas"].as_u64()));
                counts.dedup();
                if is_last {
                    return counts;
                }
                thread::park_timeout(EVERY);
            }
        });
        History { is_ended, thread }
    }
}

impl History {
    /// Those that there were, in order.
    ///
    /// # Panics
    /// When the API server could not be asked.
    pub fn end(self) -> Vec<u64> {
        self.is_ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().expect("the API server answers")
    }
}
