//! What this process has seen: requests in flight, served, cancelled, and the newest heads.

use std::cell::Cell;
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
    /// Requests whose answers are not written whole: a drain waits for them.
    open: u64,
    /// Of those, requests still worked on. Counted apart, because whoever reads the last byte of an answer may send the
    /// next request before the thread that wrote it gets any further.
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

/// One request; dropping it ends the request.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    record: &'a Record,
    is_worked_on: Cell<bool>,
}

impl InFlight<'_> {
    /// The work is done and its answer is about to be written.
    pub(crate) fn done(&self) {
        if self.is_worked_on.replace(false) {
            self.record.lock().in_flight -= 1;
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.done();
        let mut counts = self.record.lock();
        counts.open -= 1;
        counts.served += 1;
        self.record.changed.notify_all();
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
        counts.open += 1;
        counts.in_flight += 1;
        counts.max_in_flight = counts.max_in_flight.max(counts.in_flight);
        if counts.heads.len() == KEPT_HEADS {
            counts.heads.pop_front();
        }
        counts.heads.push_back(head);
        InFlight {
            record: self,
            is_worked_on: Cell::new(true),
        }
    }

    /// The client left before its answer was complete.
    pub(crate) fn cancelled(&self) {
        self.lock().cancelled += 1;
    }

    /// SIGTERM came: returns once every answer is written.
    pub(crate) fn drain(&self) {
        self.lock().is_draining = true;
        let busy = |counts: &mut Counts| counts.open > 0;
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
    fn a_request_whose_answer_is_being_written_is_not_in_flight() {
        let record = Record::default();
        let first = record.begin(head());
        first.done();
        let _second = record.begin(head());
        assert_eq!(record.stats().max_in_flight, 1);
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
