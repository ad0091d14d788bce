//! Pauses that double, with jitter.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Doubling pauses between two bounds, each shortened at random by up to a third.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackOff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl BackOff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The pause after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let factor = 1u32 << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let pause = self.first.saturating_mul(factor).min(self.longest);
        pause - pause.mul_f64(random() / 3.0)
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

/// From 0 to below 1; fit for spreading load, for nothing else.
pub(crate) fn random() -> f64 {
    let number = RandomState::new().hash_one(0u8) >> 40;
    f64::from(u32::try_from(number).unwrap_or_default()) / f64::from(1u32 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew() {
        let mut back_off = BackOff::new(Duration::from_millis(100), Duration::from_secs(1));
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let pause = back_off.next().as_millis();
            assert!(
                (expected * 2 / 3 - 1..=expected).contains(&pause),
                "{pause} for {expected}"
            );
        }
        assert_eq!(back_off.failures(), 6);
        back_off.reset();
        assert!(back_off.next() <= Duration::from_millis(100));
    }

    #[test]
    fn random_numbers_lie_in_their_range_and_differ() {
        let numbers: Vec<f64> = (0..100).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(
            numbers
                .iter()
                .any(|number| (number - numbers[0]).abs() > 0.01)
        );
    }
}
