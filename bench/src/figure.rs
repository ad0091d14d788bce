//! One measured figure: its value, floor, aim and spread, as text and as JSON.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::stats::Interval;

/// A figure whose 95 % interval is wider than this share of its value does not count, unless its aim is decided.
const NOISY: f64 = 0.5;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// The value, at most.
    AtMost(f64),
    /// The value, at least.
    AtLeast(f64),
    /// Value over floor, at most.
    RatioAtMost(f64),
    /// The 95 % interval of the ratio holds a value of at most this: where the spread of both sides is far wider than
    /// what could be told apart.
    RatioReaches(f64),
}

impl Aim {
    fn is_met(self, value: f64, ratio: Option<f64>, spread: Option<Interval>) -> bool {
        match self {
            Self::RatioReaches(most) => spread.is_some_and(|spread| spread.low <= most),
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio <= most),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::RatioAtMost(most) => write!(f, "<= {most}x"),
            Self::RatioReaches(most) => write!(f, "interval reaches {most}x"),
        }
    }
}

impl Serialize for Aim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One measured figure. Unknown numbers are `null` in JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// `measure/what/under which load`.
    pub(crate) measure: String,
    /// Of `value`, `floor` and `spread`.
    pub(crate) unit: &'static str,
    /// The median over the rounds, or the percentile that `measure` names.
    pub(crate) value: f64,
    /// The same of the floor or peer in the same run.
    pub(crate) floor: Option<f64>,
    /// `value / floor`, or the median of the rounds' ratios where rounds come in pairs.
    pub(crate) ratio: Option<f64>,
    /// What it should be.
    pub(crate) aim: Option<Aim>,
    /// Whether it is; `None` without an aim.
    pub(crate) met: Option<bool>,
    /// Rounds or samples behind it.
    pub(crate) rounds: usize,
    /// 95 % interval of what the aim is about: the ratio for an aim in `x`, else the value.
    pub(crate) spread: Option<Interval>,
    /// The interval is too wide for the figure to count.
    pub(crate) noisy: bool,
}

impl Figure {
    /// A figure without floor, aim and spread yet.
    pub(crate) fn new(
        measure: impl Into<String>,
        unit: &'static str,
        value: f64,
        rounds: usize,
    ) -> Self {
        Self {
            measure: measure.into(),
            unit,
            value,
            floor: None,
            ratio: None,
            aim: None,
            met: None,
            rounds,
            spread: None,
            noisy: false,
        }
    }

    /// Sets the floor of the same run, and the ratio unless it is known from pairs.
    pub(crate) fn with_floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = self.ratio.or(Some(self.value / floor));
        self
    }

    /// Sets the ratio from pairs of rounds.
    pub(crate) fn with_ratio(mut self, ratio: f64) -> Self {
        self.ratio = Some(ratio);
        self
    }

    /// Sets the spread.
    pub(crate) fn with_spread(mut self, spread: Option<Interval>) -> Self {
        self.spread = spread;
        self
    }

    /// Sets the aim and judges it; comes last.
    pub(crate) fn with_aim(mut self, aim: Aim) -> Self {
        self.met = Some(aim.is_met(self.value, self.ratio, self.spread));
        self.aim = Some(aim);
        self
    }

    /// Decides whether the spread is too wide: so wide that the aim may be met or not. Called once by the report.
    pub(crate) fn judge_noise(&mut self) {
        let Some(spread) = self.spread else {
            return;
        };
        let (about, is_decided) = match self.aim {
            Some(Aim::RatioAtMost(most)) => {
                let sides = (spread.low <= most, spread.high <= most);
                (self.ratio.unwrap_or(f64::NAN), sides.0 == sides.1)
            }
            // Wide intervals reach more than narrow ones: they never count.
            Some(Aim::RatioReaches(_)) => (self.ratio.unwrap_or(f64::NAN), false),
            Some(aim) => {
                let is_met = |value| aim.is_met(value, None, None);
                let sides = (is_met(spread.low), is_met(spread.high));
                (self.value, sides.0 == sides.1)
            }
            None => (self.value, false),
        };
        self.noisy = !is_decided && spread.relative_width(about) > NOISY;
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<48} {:>10} {}",
            self.measure,
            number(self.value),
            self.unit
        )?;
        if let Some(floor) = self.floor {
            write!(f, "  floor {}", number(floor))?;
        }
        if let Some(ratio) = self.ratio {
            write!(f, "  ratio {ratio:.2}x")?;
        }
        if let (Some(aim), Some(met)) = (self.aim, self.met) {
            write!(f, "  aim {aim}: {}", if met { "met" } else { "MISSED" })?;
        }
        if let Some(spread) = self.spread {
            write!(f, "  95% [{}, {}]", number(spread.low), number(spread.high))?;
        }
        write!(f, "  n={}", self.rounds)?;
        if self.noisy {
            write!(f, "  TOO NOISY TO COUNT")?;
        }
        Ok(())
    }
}

/// Three significant digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "unknown".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_aim_is_judged_by_the_ratio() {
        let figure = Figure::new("m", "us", 130.0, 5)
            .with_floor(100.0)
            .with_aim(Aim::RatioAtMost(1.4));
        assert_eq!((figure.met, figure.ratio), (Some(true), Some(1.3)));
    }

    #[test]
    fn an_unknown_value_meets_no_aim() {
        for aim in [Aim::AtMost(1.0), Aim::AtLeast(1.0), Aim::RatioAtMost(1.0)] {
            assert_eq!(
                Figure::new("m", "us", f64::NAN, 0).with_aim(aim).met,
                Some(false)
            );
        }
    }

    #[test]
    fn an_interval_that_reaches_the_ratio_meets_its_aim() {
        let figure = |low| {
            Figure::new("m", "ms", 105.0, 100)
                .with_floor(100.0)
                .with_spread(Some(Interval { low, high: 1.1 }))
                .with_aim(Aim::RatioReaches(1.03))
        };
        assert_eq!(
            (figure(1.0).met, figure(1.04).met),
            (Some(true), Some(false))
        );
    }

    #[test]
    fn a_wide_interval_is_noisy() {
        let mut figure = Figure::new("m", "us", 10.0, 5).with_spread(Some(Interval {
            low: 5.0,
            high: 15.0,
        }));
        figure.judge_noise();
        assert!(figure.noisy);
        assert!(figure.to_string().contains("TOO NOISY"));
    }

    #[test]
    fn a_wide_interval_on_one_side_of_the_aim_counts() {
        let wide = Some(Interval {
            low: 5.0,
            high: 15.0,
        });
        for (aim, noisy) in [
            (Aim::AtMost(50.0), false),
            (Aim::AtLeast(1.0), false),
            (Aim::AtMost(7.0), true),
        ] {
            let mut figure = Figure::new("m", "us", 10.0, 5)
                .with_spread(wide)
                .with_aim(aim);
            figure.judge_noise();
            assert_eq!(figure.noisy, noisy, "{aim}");
        }
    }

    #[test]
    fn json_has_the_documented_fields_and_null_for_unknown() {
        let figure = Figure::new("m", "us", f64::NAN, 1).with_aim(Aim::AtMost(2.5));
        let json = serde_json::to_value(&figure).unwrap();
        assert!(json["value"].is_null());
        assert_eq!(json["aim"], "<= 2.5");
        for field in [
            "measure", "unit", "value", "floor", "ratio", "aim", "met", "rounds", "spread",
        ] {
            assert!(json.get(field).is_some(), "{field}");
        }
    }
}
