//! The replica count that a target was asked for, as watches and answers tell it.

use std::time::Duration;

use zeron_core::Timestamp;

/// A watch is never so far behind what the API server answered: an older version that it shows
/// later than this is the newest there is. The store was restored from a backup.
const WATCH_LAG: Duration = Duration::from_secs(60);

/// A count that was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CountChange {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// A count and the version of the object that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    replicas: Option<u32>,
    /// Versions are numbers that grow, for every API server that stores in etcd; anything else
    /// cannot be compared and counts as newest.
    version: Option<u64>,
}

/// What is known of one object's count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    known: Told,
    learned: Timestamp,
    /// What a watch showed since, of an older version.
    older: Option<Told>,
}

impl Told {
    pub(super) fn new(replicas: Option<u32>, version: Option<&str>) -> Self {
        Self {
            replicas,
            version: version.and_then(|text| text.parse().ok()),
        }
    }
}

impl Count {
    pub(super) fn new(told: Told, now: Timestamp) -> Self {
        Self {
            known: told,
            learned: now,
            older: None,
        }
    }

    /// As far as is known.
    pub(super) fn replicas(&self) -> Option<u32> {
        self.known.replicas
    }

    /// A watch shows this; says whether the count changed.
    pub(super) fn watch(&mut self, told: Told, now: Timestamp) -> Option<CountChange> {
        told.replicas?;
        if self.is_older(told) && now <= self.trusts_watch_from() {
            self.older = Some(told);
            return None;
        }
        self.learn(told, now)
    }

    /// The API server answered this to a request of that time: what was not learned since then is
    /// older, whatever its version.
    pub(super) fn answer(&mut self, told: Told, asked: Timestamp, now: Timestamp) {
        if !(self.is_older(told) && self.learned >= asked) {
            self.learn(told, now);
        }
    }

    /// Time went by: nothing newer came than what seemed to be older.
    pub(super) fn settle(&mut self, now: Timestamp) {
        if let Some(older) = self.older.filter(|_| now > self.trusts_watch_from()) {
            self.learn(older, now);
        }
    }

    /// When [`settle`](Self::settle) may change it.
    pub(super) fn recheck(&self) -> Option<Timestamp> {
        let after = Duration::from_micros(1);
        self.older.map(|_| self.trusts_watch_from() + after)
    }

    fn trusts_watch_from(&self) -> Timestamp {
        self.learned + WATCH_LAG
    }

    fn is_older(&self, told: Told) -> bool {
        let versions = self.known.version.zip(told.version);
        versions.is_some_and(|(known, told)| told < known)
    }

    fn learn(&mut self, told: Told, now: Timestamp) -> Option<CountChange> {
        let to = told.replicas?;
        let from = self.known.replicas.filter(|from| *from != to);
        *self = Self::new(told, now);
        from.map(|from| CountChange { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + seconds)
    }

    fn told(replicas: u32, version: u64) -> Told {
        Told::new(Some(replicas), Some(&version.to_string()))
    }

    #[test]
    fn a_watch_that_is_behind_our_own_answer_does_not_count() {
        let mut count = Count::new(told(0, 7), at(0));
        count.answer(told(3, 9), at(1), at(2));
        assert_eq!(count.watch(told(1, 8), at(60)), None);
        assert_eq!(count.replicas(), Some(3));
        let change = CountChange { from: 3, to: 4 };
        assert_eq!(count.watch(told(4, 10), at(61)), Some(change));
        assert_eq!(count.recheck(), None);
    }

    #[test]
    fn after_the_store_went_back_a_watch_counts_within_a_minute() {
        let mut count = Count::new(told(0, 9_000), at(0));
        assert_eq!(count.watch(told(3, 50), at(10)), None);
        count.settle(at(60));
        assert_eq!(count.replicas(), Some(0));
        let due = count.recheck().unwrap_or_default();
        count.settle(due);
        assert_eq!((count.replicas(), count.recheck()), (Some(3), None));
        // And without a word for long, at once.
        let mut count = Count::new(told(0, 9_000), at(0));
        assert!(count.watch(told(3, 50), at(61)).is_some());
    }

    #[test]
    fn after_the_store_went_back_an_answer_counts_at_once() {
        let mut count = Count::new(told(0, 9_000), at(0));
        count.answer(told(3, 50), at(1), at(2));
        assert_eq!(count.replicas(), Some(3));
        // Its own newer versions are newer.
        assert!(count.watch(told(4, 51), at(3)).is_some());
    }

    #[test]
    fn an_answer_that_a_watch_overtook_does_not_count() {
        let mut count = Count::new(told(0, 7), at(0));
        count.watch(told(5, 9), at(2));
        count.answer(told(3, 8), at(1), at(3));
        assert_eq!(count.replicas(), Some(5));
    }

    #[test]
    fn versions_that_are_no_numbers_count_as_newest_and_no_count_is_no_news() {
        let mut count = Count::new(told(1, 7), at(0));
        assert!(count.watch(Told::new(Some(2), Some("x")), at(1)).is_some());
        assert_eq!(count.watch(Told::new(None, Some("9")), at(1)), None);
        assert_eq!(count.replicas(), Some(2));
    }
}
