//! What this process has seen: requests in flight, served, cancelled, and the newest heads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Heads kept; older ones are forgotten.
const KEPT_HEADS: usize = 1024;

/// Shared by all connections of the process.
#[derive(Debug, Default)]
pub(crate) struct Record {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    in_flight: u64,
    max_in_flight: u64,
    served: u64,
    cancelled: u64,
    is_draining: bool,
    heads: VecDeque<Head>,
}

/// The start of one request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) connection: u64,
    pub(crate) request_line: String,
}

/// Numbers of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) in_flight: u64,
    pub(crate) max_in_flight: u64,
    pub(crate) served: u64,
    pub(crate) cancelled: u64,
}

/// One request in flight; dropping it ends the request.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a Record);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut counts = self.0.lock();
        counts.in_flight -= 1;
        counts.served += 1;
        self.0.changed.notify_all();
    }
}

impl Record {
    /// Takes a place for a connection; waits while `limit` are open.
    pub(crate) fn open_connection(&self, limit: usize) {
        let full = |counts: &mut Counts| counts.connections >= limit;
        let mut counts = self
            .changed
            .wait_while(self.lock(), full)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        counts.connections += 1;
    }

    /// Gives the place back.
    pub(crate) fn close_connection(&self) {
        self.lock().connections -= 1;
        self.changed.notify_all();
    }

    /// Counts a request from here on until the answer is dropped.
    pub(crate) fn begin(&self, head: Head) -> InFlight<'_> {
        let mut counts = self.lock();
        counts.in_flight += 1;
        counts.max_in_flight = counts.max_in_flight.max(counts.in_flight);
        if counts.heads.len() == KEPT_HEADS {
            counts.heads.pop_front();
        }
        counts.heads.push_back(head);
        InFlight(self)
    }

    /// The client left before its answer was complete.
    pub(crate) fn cancelled(&self) {
        self.lock().cancelled += 1;
    }

    /// SIGTERM came: returns once nothing is in flight.
    pub(crate) fn drain(&self) {
        self.lock().is_draining = true;
        let busy = |counts: &mut Counts| counts.in_flight > 0;
        drop(self.changed.wait_while(self.lock(), busy));
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.lock().is_draining
    }

    pub(crate) fn stats(&self) -> Stats {
        let counts = self.lock();
        Stats {
            in_flight: counts.in_flight,
            max_in_flight: counts.max_in_flight,
            served: counts.served,
            cancelled: counts.cancelled,
        }
    }

    /// The newest heads, oldest first.
    pub(crate) fn heads(&self) -> Vec<Head> {
        self.lock().heads.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            connection: 1,
            request_line: "GET / HTTP/1.1".to_owned(),
        }
    }

    #[test]
    fn the_highest_count_stays_after_requests_end() {
        let record = Record::default();
        let first = record.begin(head());
        drop(record.begin(head()));
        drop(first);
        let stats = record.stats();
        assert_eq!(
            (stats.in_flight, stats.max_in_flight, stats.served),
            (0, 2, 2)
        );
    }

    #[test]
    fn heads_are_bounded() {
        let record = Record::default();
        for _ in 0..KEPT_HEADS + 5 {
            drop(record.begin(head()));
        }
        assert_eq!(record.heads().len(), KEPT_HEADS);
    }
}
