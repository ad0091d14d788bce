//! What waits to be written, and when each object may be written next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::StatusWriterOptions;
use crate::projection::ObjectKey;

/// The same patch is not sent twice within this time: the watch has not shown its effect yet.
const ECHO: Duration = Duration::from_secs(10);

/// How a write ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Written(Value),
    /// To be tried again.
    Failed(Value),
    GivenUp,
    /// It would have changed nothing.
    Needless,
}

/// Every object that waits, is under way or was written lately.
#[derive(Debug)]
pub(super) struct Queue {
    options: StatusWriterOptions,
    entries: BTreeMap<ObjectKey, Entry>,
    /// When to look at which entry next; entries under way are not in it.
    times: BTreeSet<(Instant, ObjectKey)>,
}

#[derive(Debug)]
struct Entry {
    waiting: Option<Value>,
    /// The last patch written, and when.
    written: Option<(Instant, Value)>,
    look_at: Instant,
    failures: u32,
    is_under_way: bool,
    is_forgotten: bool,
}

impl Queue {
    pub(super) fn new(options: StatusWriterOptions) -> Self {
        Self {
            options,
            entries: BTreeMap::new(),
            times: BTreeSet::new(),
        }
    }

    /// Whether there was room.
    pub(super) fn publish(&mut self, key: ObjectKey, patch: Option<Value>, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else {
            if patch.is_some() && self.entries.len() >= self.options.capacity {
                return false;
            }
            if patch.is_some() {
                let entry = Entry {
                    waiting: patch,
                    written: None,
                    look_at: now,
                    failures: 0,
                    is_under_way: false,
                    is_forgotten: false,
                };
                self.times.insert((now, key.clone()));
                self.entries.insert(key, entry);
            }
            return true;
        };
        entry.is_forgotten = false;
        let is_echo = matches!((&patch, &entry.written), (Some(new), Some((at, old)))
            if new == old && now.duration_since(*at) < ECHO);
        if is_echo {
            entry.waiting = None;
            return true;
        }
        entry.waiting = patch;
        if !entry.is_under_way && entry.failures == 0 {
            let earliest = entry
                .written
                .as_ref()
                .map(|(at, _)| *at + self.options.interval);
            let at = earliest.map_or(now, |at| at.max(now));
            self.times.remove(&(entry.look_at, key.clone()));
            entry.look_at = at;
            self.times.insert((at, key));
        }
        true
    }

    pub(super) fn forget(&mut self, key: &ObjectKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.waiting = None;
            entry.is_forgotten = true;
        }
    }

    /// At most `free` patches to send now, and when to look again.
    pub(super) fn take_due(
        &mut self,
        free: usize,
        now: Instant,
    ) -> (Vec<(ObjectKey, Value)>, Option<Instant>) {
        let mut due = Vec::new();
        while due.len() < free {
            let Some((at, _)) = self.times.first() else {
                break;
            };
            if *at > now {
                break;
            }
            let (_, key) = self.times.pop_first().expect("there is a first");
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            match entry.waiting.take() {
                Some(patch) => {
                    entry.is_under_way = true;
                    due.push((key, patch));
                }
                None => {
                    let rest = entry.written.as_ref().map(|(at, _)| *at + ECHO);
                    match rest.filter(|rest| *rest > now && !entry.is_forgotten) {
                        Some(rest) => {
                            entry.look_at = rest;
                            self.times.insert((rest, key));
                        }
                        None => {
                            self.entries.remove(&key);
                        }
                    }
                }
            }
        }
        (due, self.times.first().map(|(at, _)| *at))
    }

    pub(super) fn finish(&mut self, key: ObjectKey, outcome: Outcome, now: Instant) {
        let options = self.options;
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.is_under_way = false;
        match outcome {
            Outcome::Written(patch) => {
                entry.failures = 0;
                if entry.waiting.as_ref() == Some(&patch) {
                    entry.waiting = None;
                }
                entry.written = Some((now, patch));
                entry.look_at = now + options.interval;
            }
            Outcome::Failed(patch) => {
                entry.failures = entry.failures.saturating_add(1);
                if entry.waiting.is_none() && !entry.is_forgotten {
                    entry.waiting = Some(patch);
                }
                let doublings = entry.failures.saturating_sub(1).min(16);
                let wait = options.interval.saturating_mul(1 << doublings);
                entry.look_at = now + wait.min(options.longest_wait);
            }
            Outcome::GivenUp | Outcome::Needless => {
                entry.failures = 0;
                entry.look_at = now + options.interval;
            }
        }
        self.times.insert((entry.look_at, key));
    }
}
