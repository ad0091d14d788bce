//! When to look at which PodAutoscaler again although nothing happened.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::knative::kind::Key;

/// One time per PodAutoscaler, the earliest.
#[derive(Debug, Default)]
pub(super) struct Timers {
    times: BTreeSet<(Instant, Key)>,
    of: BTreeMap<Key, Instant>,
}

impl Timers {
    pub(super) fn set(&mut self, key: &Key, at: Instant) {
        if self.of.get(key).is_some_and(|known| *known <= at) {
            return;
        }
        self.forget(key);
        self.times.insert((at, key.clone()));
        self.of.insert(key.clone(), at);
    }

    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(at) = self.of.remove(key) {
            self.times.remove(&(at, key.clone()));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.times.first().map(|(at, _)| *at)
    }

    /// Those whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Key> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.times.first()
            && *at <= now
        {
            let (_, key) = self.times.pop_first().expect("there is a first");
            self.of.remove(&key);
            due.push(key);
        }
        due
    }
}
