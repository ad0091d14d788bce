//! Due times, at most one per key; what is at rest has none.

use std::collections::{BTreeSet, HashMap};

use zeron_core::{FunctionId, Timestamp};

use super::poll::PollKey;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimerKey {
    /// Decide for a function.
    Decide(FunctionId),
    /// Look again at a count that somebody else wrote, or that did not come about.
    Drift(FunctionId),
    /// Try again to bind a function's triggers.
    Rebind(FunctionId),
    /// Read a source.
    Poll(PollKey),
    /// Read what pushes of a source ask for, which came too soon after others.
    Pushed(PollKey),
    /// Try again to reach the activator.
    Flush,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Timestamp, TimerKey)>,
    by_key: HashMap<TimerKey, Timestamp>,
}

impl Timers {
    /// Sets, moves or clears the due time of `key`.
    pub(crate) fn set(&mut self, key: TimerKey, due: Option<Timestamp>) {
        let before = match due {
            Some(due) => self.by_key.insert(key.clone(), due),
            None => self.by_key.remove(&key),
        };
        if before == due {
            return;
        }
        let entry = before.map(|before| (before, key.clone()));
        if let Some(entry) = entry {
            self.by_time.remove(&entry);
        }
        if let Some(due) = due {
            self.by_time.insert((due, key));
        }
    }

    /// The earliest due time.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// Takes one timer that is due at `now`.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<TimerKey> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> TimerKey {
        TimerKey::Decide(FunctionId::new("default", "Revision", name))
    }

    #[test]
    fn a_moved_timer_fires_once() {
        let mut timers = Timers::default();
        timers.set(key("a"), Some(Timestamp::from_secs(1)));
        timers.set(key("b"), Some(Timestamp::from_secs(2)));
        timers.set(key("a"), Some(Timestamp::from_secs(3)));
        assert_eq!(timers.pop(Timestamp::from_secs(1)), None);
        assert_eq!(timers.pop(Timestamp::from_secs(9)), Some(key("b")));
        assert_eq!(timers.pop(Timestamp::from_secs(9)), Some(key("a")));
        assert_eq!(timers.pop(Timestamp::from_secs(9)), None);
    }

    #[test]
    fn a_cleared_timer_leaves_nothing() {
        let mut timers = Timers::default();
        timers.set(key("a"), Some(Timestamp::from_secs(1)));
        timers.set(key("a"), None);
        assert_eq!((timers.len(), timers.next()), (0, None));
    }
}
