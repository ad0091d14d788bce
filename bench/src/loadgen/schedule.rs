//! When which request is intended to start.

use std::time::Duration;

/// One intended request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// From the start of the load.
    pub(crate) at: Duration,
    /// Which of the load's targets.
    pub(crate) target: usize,
}

/// `count` requests at equal distances, `per_second` of them a second, over the targets in turn.
pub(crate) fn constant(per_second: f64, count: usize, targets: usize) -> Vec<Arrival> {
    let arrivals = (0..count).map(|i| Arrival {
        at: Duration::from_secs_f64(i as f64 / per_second),
        target: i % targets,
    });
    arrivals.collect()
}

/// `count` requests at once to the first target.
pub(crate) fn burst(count: usize) -> Vec<Arrival> {
    let arrival = Arrival {
        at: Duration::ZERO,
        target: 0,
    };
    vec![arrival; count]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_rate_has_equal_distances_and_takes_targets_in_turn() {
        let arrivals = constant(4.0, 5, 2);
        let at: Vec<u128> = arrivals.iter().map(|a| a.at.as_millis()).collect();
        assert_eq!(at, [0, 250, 500, 750, 1_000]);
        let targets: Vec<usize> = arrivals.iter().map(|a| a.target).collect();
        assert_eq!(targets, [0, 1, 0, 1, 0]);
    }

    #[test]
    fn rounding_does_not_add_up() {
        let arrivals = constant(3_000.0, 600_001, 1);
        assert_eq!(arrivals[600_000].at, Duration::from_secs(200));
    }

    #[test]
    fn a_burst_is_at_once() {
        assert!(burst(500).iter().all(|a| a.at.is_zero() && a.target == 0));
    }
}
