//! What is to happen when, soonest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A queue of moments. Nothing is cancelled: whoever is called checks whether it still matters.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<(Instant, T)>>,
}

impl<T: Ord> Timers<T> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }

    pub(crate) fn set(&mut self, at: Instant, what: T) {
        self.heap.push(Reverse((at, what)));
    }

    /// Time from `now` to the next moment; `None` when there is none.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let Reverse((at, _)) = self.heap.peek()?;
        Some(at.saturating_duration_since(now))
    }

    /// Takes one that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<T> {
        if self.heap.peek()?.0.0 > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, what))| what)
    }
}
