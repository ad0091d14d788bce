//! When a function's last replica will be told to stop: learned from the times before.

use std::collections::VecDeque;
use std::time::Duration;

/// Newest observations that count.
const REMEMBERED: usize = 5;
/// After so many aims without an observation the moment may have moved: look again.
const BLIND: u32 = 4;

/// Where the last aimed request landed. It decides whether the function was restarted, and with it, maybe, the
/// phase of whatever clock stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landed {
    /// Before the replica was told to stop: it lives on.
    Before,
    /// Afterwards: a new replica was started.
    After,
}

/// Idle times of one function, from the end of its last request to the signal.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythm {
    before: VecDeque<Duration>,
    after: VecDeque<Duration>,
    blind: u32,
}

impl Rhythm {
    /// The idle time to expect; `None` when it must be observed first.
    pub(super) fn predict(&self, previous: Landed) -> Option<Duration> {
        if self.blind >= BLIND {
            return None;
        }
        let mut seen: Vec<Duration> = self.seen(previous).iter().copied().collect();
        seen.sort();
        seen.get(seen.len() / 2).copied()
    }

    /// Takes an observed idle time.
    pub(super) fn learn(&mut self, previous: Landed, idle: Duration) {
        self.blind = 0;
        let seen = match previous {
            Landed::Before => &mut self.before,
            Landed::After => &mut self.after,
        };
        if seen.len() == REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(idle);
    }

    /// An aimed request came first: nothing was observed.
    pub(super) fn miss(&mut self) {
        self.blind += 1;
    }

    fn seen(&self, previous: Landed) -> &VecDeque<Duration> {
        match previous {
            Landed::Before => &self.before,
            Landed::After => &self.after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_median_of_the_newest_is_expected() {
        let mut rhythm = Rhythm::default();
        assert_eq!(rhythm.predict(Landed::After), None);
        for idle in [1, 2, 7_000, 7_001, 9_000, 7_002, 7_003] {
            rhythm.learn(Landed::After, ms(idle));
        }
        assert_eq!(rhythm.predict(Landed::After), Some(ms(7_002)));
        assert_eq!(rhythm.predict(Landed::Before), None);
    }

    #[test]
    fn after_aims_without_an_observation_it_looks_again() {
        let mut rhythm = Rhythm::default();
        rhythm.learn(Landed::Before, ms(6_000));
        for _ in 0..BLIND {
            assert!(rhythm.predict(Landed::Before).is_some());
            rhythm.miss();
        }
        assert_eq!(rhythm.predict(Landed::Before), None);
        rhythm.learn(Landed::Before, ms(6_100));
        assert!(rhythm.predict(Landed::Before).is_some());
    }
}
