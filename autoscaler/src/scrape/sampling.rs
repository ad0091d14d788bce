//! How many replicas are asked for their load, which, and what their answers say of all.
//!
//! Source: knative/serving `pkg/autoscaler/metrics`, checked against recorded answers.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use crate::collector::LoadSample;
use crate::kpa::as_count;

/// (1.96^2 * 100) / 25: 95 % confidence, variance 100, error 5.
const SAMPLING: f64 = 15.3664;
/// Up to so many are all asked.
const ALL: u32 = 3;

/// How many of `ready` replicas are asked.
pub(crate) fn sample_size(ready: u32) -> u32 {
    if ready <= ALL {
        return ready;
    }
    let ready = f64::from(ready);
    as_count((ready * SAMPLING / (ready + SAMPLING - 1.0)).ceil())
}

/// The load of `ready` replicas by the answers of some of them.
pub(crate) fn extrapolate(answers: &[LoadSample], ready: u32) -> LoadSample {
    let asked = f64::from(u32::try_from(answers.len()).unwrap_or(u32::MAX));
    let scale = |read: fn(&LoadSample) -> f64| {
        let sum = answers.iter().fold(0.0, |sum, answer| sum + read(answer));
        sum / asked * f64::from(ready)
    };
    LoadSample {
        concurrency: scale(|it| it.concurrency),
        proxied_concurrency: scale(|it| it.proxied_concurrency),
        requests: scale(|it| it.requests),
        proxied_requests: scale(|it| it.proxied_requests),
    }
}

/// Whom to ask, in order: replicas that are older than the window, then young ones where the old
/// are not enough.
pub(crate) fn candidates<T>(
    mut old: Vec<T>,
    mut young: Vec<T>,
    sample: usize,
    shuffle: &mut Shuffle,
) -> Vec<T> {
    shuffle.mix(&mut old);
    if sample > old.len() {
        shuffle.mix(&mut young);
        old.append(&mut young);
    }
    old
}

/// A cheap random order; nothing depends on its quality but an even spread.
#[derive(Debug)]
pub(crate) struct Shuffle(u64);

impl Shuffle {
    pub(crate) fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    /// Fisher and Yates.
    fn mix<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }

    /// splitmix64.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(mixed % end).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct File {
        sample_size: Vec<Size>,
        extrapolation: Vec<Extrapolation>,
    }

    #[derive(Deserialize)]
    struct Size {
        ready: u32,
        sample: u32,
    }

    #[derive(Deserialize)]
    struct Extrapolation {
        stats: Vec<Recorded>,
        ready: u32,
        want: Recorded,
    }

    #[derive(Clone, Copy, Deserialize)]
    struct Recorded {
        concurrency: f64,
        proxied_concurrency: f64,
        requests: f64,
        proxied_requests: f64,
    }

    impl From<Recorded> for LoadSample {
        fn from(recorded: Recorded) -> Self {
            Self {
                concurrency: recorded.concurrency,
                proxied_concurrency: recorded.proxied_concurrency,
                requests: recorded.requests,
                proxied_requests: recorded.proxied_requests,
            }
        }
    }

    fn file() -> File {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
        let bytes = std::fs::read(folder.join("kpa-sample.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn as_many_are_asked_as_recorded() {
        let sizes = file().sample_size;
        assert_eq!(sizes.len(), 253);
        for case in sizes {
            assert_eq!(sample_size(case.ready), case.sample, "{} ready", case.ready);
        }
    }

    #[test]
    fn some_speak_for_all_as_recorded() {
        let cases = file().extrapolation;
        assert_eq!(cases.len(), 10);
        for case in cases {
            let stats: Vec<LoadSample> = case.stats.into_iter().map(Into::into).collect();
            let want: LoadSample = case.want.into();
            assert_eq!(
                extrapolate(&stats, case.ready),
                want,
                "{} ready",
                case.ready
            );
        }
    }

    #[test]
    fn the_old_come_first_and_the_young_only_fill_up() {
        let mut shuffle = Shuffle::new();
        let enough = candidates(vec![1, 2, 3], vec![8, 9], 2, &mut shuffle);
        assert_eq!(enough.len(), 3, "the young are no spares");
        let few = candidates(vec![1, 2, 3], vec![8, 9], 4, &mut shuffle);
        assert_eq!(few.len(), 5);
        assert!(few[..3].iter().all(|pod| *pod < 8), "{few:?}");
    }

    #[test]
    fn everybody_comes_first_at_some_time() {
        let mut shuffle = Shuffle::new();
        let mut first = [0_u32; 4];
        for _ in 0..400 {
            first[candidates(vec![0, 1, 2, 3], Vec::new(), 1, &mut shuffle)[0]] += 1;
        }
        assert!(first.iter().all(|count| *count > 40), "{first:?}");
    }
}
