//! What a scaler answered, checked: pure.

use std::collections::BTreeSet;

use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_external_scaler_proto::{GetMetricSpecResponse, GetMetricsResponse};

use crate::source::unknown;

/// Metrics of one trigger.
const MOST_METRICS: usize = 64;
/// Characters of a metric's name.
const LONGEST_NAME: usize = 253;

/// The metrics of a trigger, at least one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Specs(pub(super) Vec<Spec>);

/// One metric and what one replica should carry of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    pub(super) metric: String,
    pub(super) target: f64,
}

impl Specs {
    /// Checks an answer to `GetMetricSpec`, or what came by `StreamMetricSpec`.
    pub(super) fn read(answer: GetMetricSpecResponse) -> Result<Self, Unknown> {
        let count = answer.metric_specs.len();
        if count == 0 {
            return Err(parse("the scaler has no metric specs"));
        }
        if count > MOST_METRICS {
            return Err(parse(format!(
                "the scaler has {count} metrics, of one trigger at most {MOST_METRICS} are read"
            )));
        }
        let mut names = BTreeSet::new();
        let mut specs = Vec::with_capacity(count);
        for spec in answer.metric_specs {
            let target = number(spec.target_size_float, spec.target_size);
            let metric = spec.metric_name;
            if metric.is_empty() || metric.chars().count() > LONGEST_NAME {
                return Err(parse(
                    "the scaler has a metric whose name is empty or too long",
                ));
            }
            let target = target.filter(|target| *target > 0.0).ok_or_else(|| {
                parse(format!("the target of {metric} is not a number above zero"))
            })?;
            if !names.insert(metric.clone()) {
                return Err(parse(format!("the scaler has two metrics named {metric}")));
            }
            specs.push(Spec { metric, target });
        }
        Ok(Self(specs))
    }
}

impl Spec {
    /// The value of this metric in an answer to `GetMetrics`: the sum of what was answered, as the
    /// autoscaler behind KEDA adds it up.
    pub(super) fn value(&self, answer: &GetMetricsResponse) -> Result<f64, Unknown> {
        if answer.metric_values.is_empty() {
            return Err(parse(format!("the scaler has no value of {}", self.metric)));
        }
        let values = answer.metric_values.iter();
        let mut sum = 0.0;
        for value in values {
            let value = number(value.metric_value_float, value.metric_value);
            sum += value.ok_or_else(|| {
                let metric = &self.metric;
                parse(format!(
                    "the value of {metric} is not a number from zero up"
                ))
            })?;
        }
        // A sum of finite numbers may not be.
        if !f64::is_finite(sum) {
            return Err(parse(format!("the value of {} is too large", self.metric)));
        }
        Ok(sum)
    }

    /// The reading of this metric.
    pub(super) fn reading(&self, value: f64, is_active: bool) -> MetricReading {
        MetricReading {
            metric: self.metric.clone(),
            value,
            target: self.target,
            activity: Activity::Declared(is_active),
        }
    }
}

/// KEDA's rule, the float where it is above zero and else the whole number; `None` where the one
/// that counts is not finite or negative, or the float is no number of things at all.
#[allow(clippy::cast_precision_loss)]
fn number(float: f64, whole: i64) -> Option<f64> {
    if !float.is_finite() || float < 0.0 {
        return None;
    }
    if float > 0.0 {
        return Some(float);
    }
    (whole >= 0).then_some(whole as f64)
}

fn parse(message: impl Into<String>) -> Unknown {
    unknown(UnknownKind::Parse, message)
}

#[cfg(test)]
mod tests {
    use zeron_external_scaler_proto::{MetricSpec, MetricValue};

    use super::*;

    fn specs(all: &[(&str, i64, f64)]) -> Result<Specs, Unknown> {
        let spec = |(name, whole, float): &(&str, i64, f64)| MetricSpec {
            metric_name: (*name).to_owned(),
            target_size: *whole,
            target_size_float: *float,
        };
        Specs::read(GetMetricSpecResponse {
            metric_specs: all.iter().map(spec).collect(),
        })
    }

    fn value(all: &[(i64, f64)]) -> Result<f64, Unknown> {
        let spec = Spec {
            metric: "depth".to_owned(),
            target: 1.0,
        };
        let value = |(whole, float): &(i64, f64)| MetricValue {
            metric_name: "depth".to_owned(),
            metric_value: *whole,
            metric_value_float: *float,
        };
        spec.value(&GetMetricsResponse {
            metric_values: all.iter().map(value).collect(),
        })
    }

    #[test]
    fn the_float_counts_where_it_is_above_zero_and_else_the_whole_number() {
        let read = specs(&[("a", 7, 2.5), ("b", 7, 0.0)]).unwrap();
        let targets: Vec<f64> = read.0.iter().map(|spec| spec.target).collect();
        assert_eq!(targets, [2.5, 7.0]);
        assert_eq!(value(&[(3, 2.5)]), Ok(2.5));
        assert_eq!(value(&[(3, 0.0)]), Ok(3.0));
        assert_eq!(value(&[(0, 0.0)]), Ok(0.0));
        assert_eq!(value(&[(3, 0.0), (0, 1.5)]), Ok(4.5));
    }

    #[test]
    fn no_metric_and_metrics_that_mean_nothing_are_errors() {
        for bad in [
            &[][..],
            &[("", 1, 0.0)],
            &[("a", 0, 0.0)],
            &[("a", -1, 0.0)],
            &[("a", 1, f64::NAN)],
            &[("a", 1, f64::INFINITY)],
            &[("a", 1, -2.0)],
            &[("a", 1, 0.0), ("a", 2, 0.0)],
        ] {
            let error = specs(bad).unwrap_err();
            assert_eq!(error.kind, UnknownKind::Parse, "{bad:?}");
        }
        let many: Vec<_> = (0..65).map(|it| format!("m{it}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), 1, 0.0)).collect();
        assert_eq!(specs(&many).unwrap_err().kind, UnknownKind::Parse);
    }

    #[test]
    fn values_that_are_no_numbers_are_unknown() {
        for bad in [
            &[][..],
            &[(-1, 0.0)],
            &[(5, f64::NAN)],
            &[(5, f64::INFINITY)],
            &[(5, f64::NEG_INFINITY)],
            &[(5, -0.5)],
            &[(0, f64::MAX), (0, f64::MAX)],
        ] {
            let error = value(bad).unwrap_err();
            assert_eq!(error.kind, UnknownKind::Parse, "{bad:?}");
        }
    }
}
