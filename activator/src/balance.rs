//! Which replica gets the next request.

/// Replicas with at most this limit are filled in order, so that the last ones become idle.
const FIRST_FREE_UP_TO: u32 = 3;

/// The place in `loads` of the replica to use, or `None` when all are at `limit`.
///
/// `loads(i)` is what replica `i` of `count` has in flight; `random` picks below its argument.
pub(crate) fn pick(
    count: usize,
    limit: Option<u32>,
    loads: impl Fn(usize) -> u32,
    mut random: impl FnMut(usize) -> usize,
) -> Option<usize> {
    let is_free = |place: &usize| limit.is_none_or(|limit| loads(*place) < limit);
    if count <= 1 || limit.is_some_and(|limit| limit <= FIRST_FREE_UP_TO) {
        return (0..count).find(is_free);
    }
    let first = random(count);
    // The second is another one, so that two replicas are always compared.
    let second = (first + 1 + random(count - 1)) % count;
    let less = if loads(second) < loads(first) {
        second
    } else {
        first
    };
    if is_free(&less) {
        return Some(less);
    }
    // Both are full: a free one further on still keeps the limit exact and nobody waiting in vain.
    (0..count)
        .map(|step| (first + step) % count)
        .find(|place| is_free(place))
}

/// A small generator for choices that need no secrecy (xorshift32).
#[derive(Debug)]
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let folded = u32::try_from((seed ^ (seed >> 32)) & 0xffff_ffff).unwrap_or(1);
        Self(folded | 1)
    }

    /// A number below `bound`; zero when `bound` is.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        if bound == 0 {
            return 0;
        }
        // Multiply and shift: no division, and a bias far below anything that matters here.
        usize::try_from((u64::from(self.0) * bound as u64) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_limits_fill_the_first_free() {
        let loads = [1, 0, 0];
        assert_eq!(pick(3, Some(1), |i| loads[i], |_| 2), Some(1));
        let loads = [1, 1, 1];
        assert_eq!(pick(3, Some(1), |i| loads[i], |_| 2), None);
    }

    #[test]
    fn without_limit_the_less_loaded_of_two_is_taken() {
        let loads = [5, 3, 0];
        assert_eq!(pick(3, None, |i| loads[i], |_| 0), Some(1));
    }

    proptest! {
        #[test]
        fn a_free_replica_is_found_exactly_when_there_is_one(
            loads in prop::collection::vec(0u32..8, 0..12),
            limit in 1u32..8,
            seed: u64,
        ) {
            let mut random = Random::new(seed);
            let picked = pick(loads.len(), Some(limit), |i| loads[i], |n| random.below(n));
            prop_assert_eq!(picked.is_some(), loads.iter().any(|load| *load < limit));
            if let Some(place) = picked {
                prop_assert!(loads[place] < limit);
            }
        }

        #[test]
        fn random_stays_below_its_bound(seed: u64, bound in 1usize..1000) {
            let mut random = Random::new(seed);
            for _ in 0..20 {
                prop_assert!(random.below(bound) < bound);
            }
        }
    }
}
