//! A server that cannot be connected is not dialled for every trigger again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use zeron_core::metric::Unknown;

/// Until the second attempt; doubled with each one.
const FIRST: Duration = Duration::from_millis(100);
/// Longest time between two attempts.
const LONGEST: Duration = Duration::from_secs(5);
/// Servers that one client remembers: a cluster's nodes at most.
const MAX_SERVERS: usize = 64;

/// The servers that could not be connected.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failing: Mutex<HashMap<Arc<str>, Failing>>,
}

#[derive(Debug)]
struct Failing {
    wait: Duration,
    until: Instant,
    reason: Unknown,
}

impl Backoff {
    /// The last failure, while it is too early for another attempt.
    pub(super) fn check(&self, server: &Arc<str>) -> Result<(), Unknown> {
        match self.failing.lock().get(server) {
            Some(failing) if Instant::now() < failing.until => Err(failing.reason.clone()),
            _ => Ok(()),
        }
    }

    /// An attempt failed. Those that began together count once.
    pub(super) fn failed(&self, server: &Arc<str>, reason: &Unknown) {
        let now = Instant::now();
        let mut failing = self.failing.lock();
        let wait = match failing.get(server) {
            Some(last) if now < last.until => return,
            Some(last) => LONGEST.min(last.wait * 2),
            None => FIRST,
        };
        if failing.len() >= MAX_SERVERS && !failing.contains_key(server) {
            // Those that nobody tried again, such as nodes that are gone, leave their places.
            failing.retain(|_, it| now < it.until);
        }
        if failing.len() < MAX_SERVERS || failing.contains_key(server) {
            let next = Failing {
                wait,
                until: now + wait,
                reason: reason.clone(),
            };
            failing.insert(Arc::clone(server), next);
        }
    }

    /// It can be connected.
    pub(super) fn reached(&self, server: &Arc<str>) {
        self.failing.lock().remove(server);
    }
}

#[cfg(test)]
mod tests {
    use zeron_core::metric::UnknownKind;

    use super::*;
    use crate::source::unknown;

    /// Attempts in `seconds`, looked at every 10 ms, of a server that always fails.
    async fn attempts(backoff: &Backoff, server: &Arc<str>, seconds: u64) -> u32 {
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut attempts = 0;
        while Instant::now() < end {
            if backoff.check(server).is_ok() {
                attempts += 1;
                backoff.failed(server, &unknown(UnknownKind::Transport, "down"));
            }
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        attempts
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_get_rarer_down_to_one_in_five_seconds() {
        let (backoff, server) = (Backoff::default(), Arc::from("http://a:1"));
        assert_eq!(attempts(&backoff, &server, 1).await, 4);
        attempts(&backoff, &server, 20).await;
        assert_eq!(attempts(&backoff, &server, 50).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_server_costs_another_nothing_and_a_reached_one_begins_anew() {
        let (backoff, dead, other) = (Backoff::default(), Arc::from("dead"), Arc::from("other"));
        let reason = unknown(UnknownKind::Transport, "down");
        backoff.failed(&dead, &reason);
        assert_eq!(backoff.check(&dead), Err(reason));
        assert_eq!(backoff.check(&other), Ok(()));
        backoff.reached(&dead);
        assert_eq!(backoff.check(&dead), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn servers_whose_pause_is_over_make_room_for_others() {
        let (backoff, new) = (Backoff::default(), Arc::from("new"));
        let reason = unknown(UnknownKind::Transport, "down");
        for number in 0..MAX_SERVERS {
            backoff.failed(&Arc::from(format!("gone-{number}")), &reason);
        }
        backoff.failed(&new, &reason);
        assert_eq!(backoff.check(&new), Ok(()), "all places are taken");
        tokio::time::advance(FIRST).await;
        backoff.failed(&new, &reason);
        assert_eq!(backoff.check(&new), Err(reason));
    }
}
