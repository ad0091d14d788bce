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

/// For as long as `step` each at these rates a second, one after the other, all to the first target.
pub(crate) fn ramp(per_second: &[f64], step: Duration) -> Vec<Arrival> {
    let mut begin = Duration::ZERO;
    let mut arrivals = Vec::new();
    for rate in per_second {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // some thousands a second for minutes
        let count = (rate * step.as_secs_f64()) as usize;
        let later = |arrival: Arrival| Arrival {
            at: arrival.at + begin,
            ..arrival
        };
        arrivals.extend(constant(*rate, count, 1).into_iter().map(later));
        begin += step;
    }
    arrivals
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
    fn a_ramp_goes_from_step_to_step() {
        let arrivals = ramp(&[2.0, 4.0], Duration::from_secs(1));
        let at: Vec<u128> = arrivals.iter().map(|a| a.at.as_millis()).collect();
        assert_eq!(at, [0, 500, 1_000, 1_250, 1_500, 1_750]);
    }

    #[test]
    fn a_burst_is_at_once() {
        assert!(burst(500).iter().all(|a| a.at.is_zero() && a.target == 0));
    }
}
