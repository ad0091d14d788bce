//! What one replica uses, as far as it was looked at.

use std::num::NonZero;
use std::time::Duration;

use super::tree::Tree;
use crate::clock::Now;

/// Shorter, a tick of ten milliseconds would be more than two percent.
const SHORTEST_WINDOW: Duration = Duration::from_millis(500);

/// The last look at one replica, and what it shows beside the one before.
#[derive(Debug)]
pub(super) struct Measured {
    tree: Tree,
    at: Now,
    resident: u64,
    rate: Option<Rate>,
}

/// Processor time between two looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// Thousandths of a core.
    pub(super) millis: f64,
    pub(super) window: Duration,
}

impl Measured {
    /// The first look: it tells no rate.
    pub(super) fn new(tree: Tree, at: Now) -> Self {
        Self {
            resident: tree.resident(),
            tree,
            at,
            rate: None,
        }
    }

    /// Another look. One too soon after the last tells its memory only.
    pub(super) fn follow(&mut self, tree: Tree, at: Now, ticks_per_second: u64) {
        self.resident = tree.resident();
        let window = at.instant.saturating_duration_since(self.at.instant);
        if window < SHORTEST_WINDOW {
            return;
        }
        let millis = |ticks| ticks as f64 * 1000.0 / ticks_per_second as f64 / window.as_secs_f64();
        let millis = tree.ticks_since(&self.tree).map(millis);
        self.rate = millis
            .filter(|millis| *millis <= most_millis())
            .map(|millis| Rate { millis, window });
        (self.tree, self.at) = (tree, at);
    }

    /// When the last look was that told a rate, or could begin one.
    pub(super) fn at(&self) -> Now {
        self.at
    }

    /// Pages in memory.
    pub(super) fn resident(&self) -> u64 {
        self.resident
    }

    /// `None` until it was looked at twice.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.rate
    }
}

/// More than twice of what all cores give: a process that ended between two reads of one look brings the time of its
/// whole life to whoever waited for it.
fn most_millis() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores as f64 * 2000.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::super::stat::Stat;
    use super::super::tree::trees;
    use super::*;

    fn tree(own: u64, resident: u64) -> Tree {
        let leader = Stat {
            pid: 5,
            parent: 1,
            group: 5,
            start: 7,
            own,
            reaped: 0,
            resident,
        };
        trees(&HashSet::from([5]), &[leader]).remove(&5).unwrap()
    }

    #[test]
    fn a_rate_takes_two_looks_and_tells_the_time_between_them() {
        let begin = Now::read();
        let after = |millis| Now {
            instant: begin.instant + Duration::from_millis(millis),
            timestamp: begin.timestamp + Duration::from_millis(millis),
        };
        let mut measured = Measured::new(tree(1000, 3), begin);
        assert_eq!((measured.rate(), measured.resident()), (None, 3));
        measured.follow(tree(1025, 4), after(1000), 100);
        let expected = Rate {
            millis: 250.0,
            window: Duration::from_secs(1),
        };
        assert_eq!((measured.rate(), measured.resident()), (Some(expected), 4));
        // Too soon: the rate stays, and the next one goes on from the look that counted.
        measured.follow(tree(1050, 5), after(1100), 100);
        assert_eq!((measured.rate(), measured.resident()), (Some(expected), 5));
        assert_eq!(measured.at().timestamp, after(1000).timestamp);
        measured.follow(tree(1125, 6), after(2000), 100);
        assert_eq!(measured.rate().unwrap().millis, 1000.0);
    }

    #[test]
    fn more_than_all_cores_give_is_unknown() {
        let begin = Now::read();
        let after = |seconds| Now {
            instant: begin.instant + Duration::from_secs(seconds),
            ..begin
        };
        let mut measured = Measured::new(tree(0, 3), begin);
        measured.follow(tree(360_000_000, 3), after(1), 100);
        assert_eq!(measured.rate(), None);
        measured.follow(tree(360_000_050, 3), after(2), 100);
        assert_eq!(measured.rate().unwrap().millis, 500.0);
    }

    #[test]
    fn a_counter_that_goes_back_is_unknown_until_the_look_after_it() {
        let begin = Now::read();
        let after = |seconds| Now {
            instant: begin.instant + Duration::from_secs(seconds),
            ..begin
        };
        let mut measured = Measured::new(tree(1000, 3), begin);
        measured.follow(tree(10, 3), after(1), 100);
        assert_eq!(measured.rate(), None);
        measured.follow(tree(60, 3), after(2), 100);
        assert_eq!(measured.rate().unwrap().millis, 500.0);
    }
}
