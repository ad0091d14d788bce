//! Which replica gets the next request.

/// Replicas with at most this limit are filled in order, so that the last ones become idle.
const FIRST_FREE_UP_TO: u32 = 3;

/// How full a replica is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    /// Requests that it has.
    pub(crate) load: u32,
    /// Requests that it may have at once.
    pub(crate) slots: u32,
    /// Replicas that it stands for.
    pub(crate) replicas: u32,
}

impl Fill {
    fn is_free(self) -> bool {
        self.load < self.slots
    }

    /// Each of its replicas has less than each of `other`'s.
    fn is_below(self, other: Self) -> bool {
        let of = |load: u32, replicas: u32| u64::from(load) * u64::from(replicas);
        of(self.load, other.replicas) < of(other.load, self.replicas)
    }
}

/// The place of the replica to use, or `None` when all are full.
///
/// `fill(i)` is how full replica `i` of `count` is; `limit` what one replica may have; `random`
/// picks below its argument.
pub(crate) fn pick(
    count: usize,
    limit: Option<u32>,
    fill: impl Fn(usize) -> Fill,
    mut random: impl FnMut(usize) -> usize,
) -> Option<usize> {
    let is_free = |place: &usize| fill(*place).is_free();
    if count <= 1 || limit.is_some_and(|limit| limit <= FIRST_FREE_UP_TO) {
        return (0..count).find(is_free);
    }
    let first = random(count);
    // The second is another one, so that two replicas are always compared.
    let second = (first + 1 + random(count - 1)) % count;
    let less = if fill(second).is_below(fill(first)) {
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

    fn fill(loads: &[u32], limit: Option<u32>) -> impl Fn(usize) -> Fill {
        move |place| Fill {
            load: loads[place],
            slots: limit.unwrap_or(u32::MAX),
            replicas: 1,
        }
    }

    #[test]
    fn small_limits_fill_the_first_free() {
        assert_eq!(pick(3, Some(1), fill(&[1, 0, 0], Some(1)), |_| 2), Some(1));
        assert_eq!(pick(3, Some(1), fill(&[1, 1, 1], Some(1)), |_| 2), None);
    }

    #[test]
    fn without_limit_the_less_loaded_of_two_is_taken() {
        assert_eq!(pick(3, None, fill(&[5, 3, 0], None), |_| 0), Some(1));
    }

    #[test]
    fn what_stands_for_many_replicas_gets_the_load_of_many() {
        let many = |place: usize| Fill {
            load: [5, 18][place],
            slots: [10, 40][place],
            replicas: [1, 4][place],
        };
        assert_eq!(pick(2, Some(10), many, |_| 0), Some(1));
        let full = |place: usize| Fill {
            load: [5, 40][place],
            ..many(place)
        };
        assert_eq!(pick(2, Some(10), full, |_| 0), Some(0));
    }

    proptest! {
        #[test]
        fn a_free_replica_is_found_exactly_when_there_is_one(
            loads in prop::collection::vec(0u32..8, 0..12),
            limit in 1u32..8,
            seed: u64,
        ) {
            let mut random = Random::new(seed);
            let fill = fill(&loads, Some(limit));
            let picked = pick(loads.len(), Some(limit), fill, |n| random.below(n));
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
