//! What is remembered between two evaluations: which triggers have answered, and how many Jobs
//! there were while they did.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::job::JobCounts;

use super::arithmetic::Unfinished;

/// Counts that are remembered; when there are more, neighbours are kept as one, the larger.
const MOST: usize = 64;

/// Every answer of a source is used once: a value that was acted on says nothing of what came
/// since. And Jobs are counted over the time that a value may be of: one that finished after the
/// source was asked was in its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobMemory {
    answered: BTreeSet<usize>,
    /// From when on there were how many; oldest first.
    counts: VecDeque<(Timestamp, Unfinished)>,
    begun: u64,
}

impl JobMemory {
    /// A source answered for a trigger, be it with a failure.
    pub(crate) fn answered(&mut self, trigger: usize) {
        self.answered.insert(trigger);
    }

    /// Whether all of so many triggers have answered since the last evaluation.
    pub(crate) fn is_complete(&self, triggers: usize) -> bool {
        (0..triggers).all(|trigger| self.answered.contains(&trigger))
    }

    /// Their answers are used now, or are of triggers that are gone.
    pub(crate) fn begin_again(&mut self) {
        self.answered.clear();
    }

    /// So many Jobs from `now` on.
    pub(crate) fn count(&mut self, now: Timestamp, counts: JobCounts) {
        self.begun = counts.begun;
        let unfinished = Unfinished {
            running: counts.running,
            pending: counts.pending,
        };
        let newest = self.counts.back();
        if newest.is_some_and(|(_, newest)| *newest == unfinished) {
            return;
        }
        self.counts.push_back((now, unfinished));
        if self.counts.len() > MOST
            && let (Some((at, oldest)), Some((_, next))) =
                (self.counts.pop_front(), self.counts.front().copied())
        {
            self.counts[0] = (at, larger(oldest, next));
        }
    }

    /// The Jobs now.
    pub(crate) fn newest(&self) -> JobCounts {
        let newest = self.counts.back().map(|(_, it)| *it).unwrap_or_default();
        JobCounts {
            running: newest.running,
            pending: newest.pending,
            begun: self.begun,
        }
    }

    /// The most that there were at any time from `since` on.
    pub(super) fn most_since(&self, since: Timestamp) -> Unfinished {
        let mut most = Unfinished::default();
        for (at, counts) in self.counts.iter().rev() {
            most = larger(most, *counts);
            if *at <= since {
                break;
            }
        }
        most
    }

    /// Forgets what no value can be of any more.
    pub(super) fn forget_before(&mut self, oldest: Timestamp) {
        while self.counts.get(1).is_some_and(|(at, _)| *at <= oldest) {
            self.counts.pop_front();
        }
    }
}

fn larger(a: Unfinished, b: Unfinished) -> Unfinished {
    Unfinished {
        running: a.running.max(b.running),
        pending: a.pending.max(b.pending),
    }
}

/// The moment so long before `now`.
pub(super) fn before(now: Timestamp, by: Duration) -> Timestamp {
    let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn counts(running: u32) -> JobCounts {
        JobCounts {
            running,
            pending: 0,
            begun: 7,
        }
    }

    #[test]
    fn the_most_of_the_time_since_counts() {
        let mut memory = JobMemory::default();
        memory.count(at(10), counts(3));
        memory.count(at(20), counts(5));
        memory.count(at(30), counts(1));
        let most = |secs| memory.most_since(at(secs)).running;
        assert_eq!([most(5), most(15), most(25), most(30)], [5, 5, 5, 1]);
        assert_eq!(memory.newest(), counts(1));
    }

    #[test]
    fn what_is_older_than_any_value_is_forgotten_and_the_rest_is_bounded() {
        let mut memory = JobMemory::default();
        for second in 0..1_000 {
            memory.count(at(second), counts(u32::try_from(second % 10).unwrap_or(0)));
        }
        assert_eq!(memory.counts.len(), MOST);
        memory.forget_before(at(998));
        assert_eq!(memory.counts.len(), 2);
        assert_eq!(memory.most_since(at(998)).running, 9);
    }

    #[test]
    fn every_trigger_answers_once_per_evaluation() {
        let mut memory = JobMemory::default();
        memory.answered(1);
        memory.answered(1);
        assert!(!memory.is_complete(2));
        memory.answered(0);
        assert!(memory.is_complete(2));
        memory.begin_again();
        assert!(!memory.is_complete(2));
    }
}
