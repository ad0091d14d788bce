//! Medians, quantiles, bootstrap intervals and slopes: pure arithmetic on samples.

use serde::Serialize;

/// Resamples of one bootstrap: the interval's ends move by less than a hundredth of its width beyond this.
const RESAMPLES: usize = 1_000;

/// Where a statistic lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Interval {
    /// 2.5 % of the resampled statistics lie below.
    pub(crate) low: f64,
    /// 2.5 % lie above.
    pub(crate) high: f64,
}

impl Interval {
    /// Whole width over `value`; not a number for a zero `value`.
    pub(crate) fn relative_width(self, value: f64) -> f64 {
        (self.high - self.low) / value.abs()
    }
}

/// The `q` quantile (0..=1) by linear interpolation between the closest ranks (Hyndman and Fan, type 7).
///
/// Not a number when there are no values: unknown is not zero.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, q)
}

/// The median; not a number when there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rank lies in 0..len
fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let rank = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (rank.floor() as usize, rank.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (rank - rank.floor())
}

/// The 95 % percentile-bootstrap interval of the `q` quantile of `values`. The same values give the same interval.
///
/// `None` for fewer than three values, where resampling says nothing.
pub(crate) fn bootstrap(values: &[f64], q: f64) -> Option<Interval> {
    if values.len() < 3 {
        return None;
    }
    let mut random = Random::new(values.len() as u64);
    let mut resample = vec![0.0; values.len()];
    let statistics: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for slot in &mut resample {
                *slot = values[random.below(values.len())];
            }
            quantile(&resample, q)
        })
        .collect();
    Some(Interval {
        low: quantile(&statistics, 0.025),
        high: quantile(&statistics, 0.975),
    })
}

/// The 95 % percentile-bootstrap interval of the ratio of the `q` quantiles of two samples, each side resampled by itself.
///
/// `None` for fewer than three values of either side.
pub(crate) fn bootstrap_ratio(values: &[f64], floors: &[f64], q: f64) -> Option<Interval> {
    if values.len().min(floors.len()) < 3 {
        return None;
    }
    let mut random = Random::new((values.len() + floors.len()) as u64);
    let mut resampled = |values: &[f64]| {
        let resample: Vec<f64> = values
            .iter()
            .map(|_| values[random.below(values.len())])
            .collect();
        quantile(&resample, q)
    };
    let ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| resampled(values) / resampled(floors))
        .collect();
    Some(Interval {
        low: quantile(&ratios, 0.025),
        high: quantile(&ratios, 0.975),
    })
}

/// The least-squares slope of `y` over `x`; not a number for fewer than two different `x`.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let variance: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    covariance / variance
}

/// `SplitMix64`: repeatable, and good enough to choose samples and offsets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..bound`; `bound` must not be zero.
    #[allow(clippy::cast_possible_truncation)] // the remainder is below `bound`
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Uniform in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_between_ranks() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(median(&values), 2.5);
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 1.0), 4.0);
    }

    #[test]
    fn nothing_measured_is_not_zero() {
        assert!(median(&[]).is_nan());
        assert!(slope(&[(1.0, 1.0)]).is_nan());
        assert_eq!(bootstrap(&[1.0, 2.0], 0.5), None);
    }

    #[test]
    fn a_bootstrap_interval_holds_the_median_and_repeats() {
        let values: Vec<f64> = (0..101).map(f64::from).collect();
        let interval = bootstrap(&values, 0.5).unwrap();
        assert!(interval.low < 50.0 && 50.0 < interval.high);
        assert!(interval.low > 30.0 && interval.high < 70.0);
        assert_eq!(bootstrap(&values, 0.5), Some(interval));
    }

    #[test]
    fn equal_values_have_no_spread() {
        let interval = bootstrap(&[7.0; 5], 0.5).unwrap();
        assert_eq!((interval.low, interval.high), (7.0, 7.0));
    }

    #[test]
    fn a_ratio_of_equal_samples_has_one_in_its_interval() {
        let values: Vec<f64> = (100..201).map(f64::from).collect();
        let interval = bootstrap_ratio(&values, &values, 0.5).unwrap();
        assert!(interval.low < 1.0 && 1.0 < interval.high);
        assert_eq!(bootstrap_ratio(&values, &[1.0], 0.5), None);
    }

    #[test]
    fn slope_of_a_line_is_its_gradient() {
        let points: Vec<(f64, f64)> = (0..10)
            .map(|x| (f64::from(x), 3.0 * f64::from(x) + 1.0))
            .collect();
        assert!((slope(&points) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn random_stays_in_its_range() {
        let mut random = Random::new(1);
        for _ in 0..1_000 {
            assert!(random.below(7) < 7);
            assert!((0.0..1.0).contains(&random.unit()));
        }
    }
}
