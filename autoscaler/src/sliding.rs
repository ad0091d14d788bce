//! The largest or smallest of the values of a sliding window, in bounded memory.

use std::collections::VecDeque;
use std::time::Duration;

use zeron_core::Timestamp;

/// Values that may win later are kept up to this many; beyond it, neighbours are merged so that
/// the stronger value stays longer than it should.
const CAPACITY: usize = 64;

/// Which value of the window counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extreme {
    Largest,
    Smallest,
}

/// Values of the last while, of which the extreme one is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Sliding {
    extreme: Extreme,
    /// Oldest and strongest first.
    values: VecDeque<(Timestamp, u32)>,
}

impl Sliding {
    pub(crate) fn new(extreme: Extreme) -> Self {
        Self {
            extreme,
            values: VecDeque::new(),
        }
    }

    /// Remembers `value` and forgets what is `window` old.
    pub(crate) fn record(&mut self, now: Timestamp, value: u32, window: Duration) {
        if window.is_zero() {
            self.values.clear();
        }
        while let Some(&(at, _)) = self.values.front() {
            if now < at + window {
                break;
            }
            self.values.pop_front();
        }
        while let Some(&(_, last)) = self.values.back() {
            if self.is_stronger(last, value) {
                break;
            }
            self.values.pop_back();
        }
        if self.values.len() >= CAPACITY {
            if let Some(last) = self.values.back_mut() {
                last.0 = now;
            }
        } else {
            self.values.push_back((now, value));
        }
    }

    /// The extreme value of the window and when it leaves it.
    pub(crate) fn extreme(&self, window: Duration) -> Option<(u32, Timestamp)> {
        let &(at, value) = self.values.front()?;
        Some((value, at + window))
    }

    fn is_stronger(&self, a: u32, b: u32) -> bool {
        match self.extreme {
            Extreme::Largest => a > b,
            Extreme::Smallest => a < b,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(300);

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + second)
    }

    #[test]
    fn the_largest_counts_until_it_is_a_window_old() {
        let mut sliding = Sliding::new(Extreme::Largest);
        sliding.record(at(0), 9, WINDOW);
        sliding.record(at(10), 3, WINDOW);
        sliding.record(at(20), 5, WINDOW);
        assert_eq!(sliding.extreme(WINDOW), Some((9, at(300))));
        sliding.record(at(300), 1, WINDOW);
        assert_eq!(sliding.extreme(WINDOW), Some((5, at(320))));
    }

    #[test]
    fn memory_is_bounded_and_errs_on_the_strong_side() {
        let mut sliding = Sliding::new(Extreme::Largest);
        for step in 0..1_000 {
            sliding.record(at(0), 2_000 - step, WINDOW);
        }
        assert!(sliding.values.len() <= CAPACITY);
        assert_eq!(sliding.extreme(WINDOW), Some((2_000, at(300))));
    }
}
