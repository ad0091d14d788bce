//! What is to happen when, soonest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Fewer than this are never looked through.
const FEW: usize = 1024;

/// A queue of moments. Nothing is cancelled: whoever is called checks whether it still matters, and
/// [`compact`](Self::compact) keeps what does not from piling up.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<(Instant, T)>>,
    compact_at: usize,
}

impl<T: Ord> Timers<T> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            compact_at: FEW,
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

    /// Drops what does not matter any more, once there is twice as much as after the last time.
    pub(crate) fn compact(&mut self, matters: impl Fn(&T) -> bool) {
        if self.heap.len() >= self.compact_at {
            self.heap.retain(|Reverse((_, what))| matters(what));
            self.heap.shrink_to(FEW);
            self.compact_at = FEW.max(2 * self.heap.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_the_rest_waits() {
        let now = Instant::now();
        let mut timers = Timers::new();
        for millis in [3, 1, 2, 50] {
            timers.set(now + Duration::from_millis(millis), millis);
        }
        let later = now + Duration::from_millis(10);
        let due: Vec<_> = std::iter::from_fn(|| timers.take_due(later)).collect();
        assert_eq!(due, [1, 2, 3]);
        assert_eq!(timers.wait(later), Some(Duration::from_millis(40)));
    }

    #[test]
    fn what_does_not_matter_any_more_does_not_pile_up() {
        let mut timers = Timers::new();
        let far = Instant::now() + Duration::from_secs(600);
        for n in 0..100_000_u32 {
            timers.set(far, n);
            timers.compact(|old| old + 10 > n);
            assert!(timers.heap.len() <= FEW);
        }
    }
}
