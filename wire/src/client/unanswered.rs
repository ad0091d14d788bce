//! Wake-ups that no autoscaler has acknowledged yet, and when somebody else must act.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::FunctionId;

use crate::message::Wake;

/// How long an acknowledgement may take.
const PATIENCE: Duration = Duration::from_millis(20);
/// Nobody is called more often than this for one function.
const SPACING: Duration = Duration::from_millis(100);
/// Functions with a wake-up under way; those beyond are called for at once.
const CAPACITY: usize = 65_536;

#[derive(Debug)]
struct Asked {
    /// Not acknowledged yet, with the moment at which somebody is called.
    wake: Option<(Wake, Instant)>,
    called_at: Option<Instant>,
}

impl Asked {
    /// When to look at it again: when it is due, or when it may be forgotten.
    fn next(&self) -> Option<Instant> {
        let due = self.wake.as_ref().map(|(_, due)| *due);
        due.or(self.called_at.map(|at| at + SPACING))
    }
}

/// At most one timer per function.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    by_function: HashMap<FunctionId, Asked>,
    by_time: BTreeSet<(Instant, FunctionId)>,
}

impl Unanswered {
    /// A wake-up was sent. Returns it when somebody is to be called now: without a connection.
    pub(super) fn ask(&mut self, wake: Wake, is_connected: bool, now: Instant) -> Option<Wake> {
        if self.by_function.len() >= CAPACITY && !self.by_function.contains_key(&wake.function) {
            return Some(wake);
        }
        let mut asked = self.take(&wake.function).unwrap_or(Asked {
            wake: None,
            called_at: None,
        });
        let function = wake.function.clone();
        let patience = if is_connected {
            PATIENCE
        } else {
            Duration::ZERO
        };
        let mut due = now + patience;
        if let Some((_, earlier)) = &asked.wake {
            due = due.min(*earlier);
        }
        if let Some(called_at) = asked.called_at {
            due = due.max(called_at + SPACING);
        }
        let is_due = due <= now;
        if is_due {
            asked.called_at = Some(now);
            asked.wake = None;
        } else {
            asked.wake = Some((wake.clone(), due));
        }
        self.put(function, asked);
        is_due.then_some(wake)
    }

    /// The owner has asked for replicas.
    pub(super) fn acknowledged(&mut self, function: &FunctionId) {
        if let Some(mut asked) = self.take(function) {
            asked.wake = None;
            self.put(function.clone(), asked);
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Wake-ups for which somebody is to be called now.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Wake> {
        let mut due = Vec::new();
        while let Some((at, function)) = self.by_time.first()
            && *at <= now
        {
            let function = function.clone();
            let Some(mut asked) = self.take(&function) else {
                break;
            };
            // What was called for is remembered until it may be called for again.
            if let Some((wake, _)) = asked.wake.take() {
                due.push(wake);
                asked.called_at = Some(now);
                self.put(function, asked);
            }
        }
        due
    }

    fn take(&mut self, function: &FunctionId) -> Option<Asked> {
        let asked = self.by_function.remove(function)?;
        if let Some(at) = asked.next() {
            self.by_time.remove(&(at, function.clone()));
        }
        Some(asked)
    }

    fn put(&mut self, function: FunctionId, asked: Asked) {
        if let Some(at) = asked.next() {
            self.by_time.insert((at, function.clone()));
            self.by_function.insert(function, asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake(queued: u32) -> Wake {
        Wake {
            function: FunctionId::new("default", "Deployment", "a"),
            in_flight: 0,
            queued,
        }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn silence_of_20_ms_calls_with_the_newest_amounts() {
        let (mut unanswered, start) = (Unanswered::default(), Instant::now());
        assert_eq!(unanswered.ask(wake(1), true, start), None);
        assert_eq!(unanswered.ask(wake(2), true, start + ms(15)), None);
        assert_eq!(unanswered.next(), Some(start + ms(20)));
        assert_eq!(unanswered.expire(start + ms(19)), []);
        assert_eq!(unanswered.expire(start + ms(20)), [wake(2)]);
    }

    #[test]
    fn an_acknowledgement_calls_nobody_and_leaves_nothing() {
        let (mut unanswered, start) = (Unanswered::default(), Instant::now());
        unanswered.ask(wake(1), true, start);
        unanswered.acknowledged(&wake(1).function);
        assert_eq!(unanswered.next(), None);
        assert!(unanswered.by_function.is_empty());
    }

    #[test]
    fn without_a_connection_it_is_called_at_once_and_then_every_100_ms() {
        let (mut unanswered, start) = (Unanswered::default(), Instant::now());
        assert_eq!(unanswered.ask(wake(1), false, start), Some(wake(1)));
        assert_eq!(unanswered.ask(wake(2), false, start + ms(50)), None);
        assert_eq!(unanswered.expire(start + ms(99)), []);
        assert_eq!(unanswered.expire(start + ms(100)), [wake(2)]);
        assert_eq!(unanswered.expire(start + ms(200)), []);
        assert_eq!((unanswered.next(), unanswered.by_function.len()), (None, 0));
    }
}
