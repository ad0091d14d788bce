//! A trigger that measures by a query.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zeron_core::metric::{Activity, MetricReading, UnknownKind};
use zeron_core::policy::Secret;

use super::Answer;
use crate::parameters::{Parameter, Parameters};
use crate::source::{Readings, unknown};

/// A trigger that measures by a query.
#[derive(Debug)]
pub(crate) struct QueryTrigger {
    /// Selects one row with one number.
    pub(crate) query: Arc<str>,
    /// What one replica carries.
    pub(crate) target: f64,
    /// Active above this.
    pub(crate) activation: f64,
    /// The metric's name.
    pub(crate) metric: String,
    /// The channel whose notifications say that there is work.
    pub(crate) channel: Option<String>,
    is_slow: AtomicBool,
}

impl QueryTrigger {
    /// A trigger whose query is taken for quick until it was asked.
    pub(crate) fn new(query: &str, target: f64, activation: f64, metric: String) -> Self {
        Self {
            query: query.into(),
            target,
            activation,
            metric,
            channel: None,
            is_slow: AtomicBool::new(false),
        }
    }

    /// Whether its query was slow the last time.
    pub(super) fn is_slow(&self) -> bool {
        self.is_slow.load(Ordering::Relaxed)
    }

    /// Remembers that for the next time.
    pub(super) fn set_slow(&self, is_slow: bool) {
        self.is_slow.store(is_slow, Ordering::Relaxed);
    }

    /// The reading of a query's answer.
    pub(super) fn judge(&self, answer: &Answer) -> Readings {
        let value = match answer {
            Answer::Number(value) if value.is_finite() && *value >= 0.0 => *value,
            Answer::Number(value) => {
                let message = format!("the query selects {value}, which is no amount of work");
                return Err(unknown(UnknownKind::Parse, message));
            }
            Answer::Slow => {
                let message = "the query did not finish in time and was cut off";
                return Err(unknown(UnknownKind::Timeout, message));
            }
            Answer::Failed(reason) | Answer::Broke(reason) => return Err(reason.clone()),
        };
        Ok(vec![MetricReading {
            metric: self.metric.clone(),
            value,
            target: self.target,
            activity: Activity::Above {
                value,
                threshold: self.activation,
            },
        }])
    }
}

/// A secret that may come from the authentication or the environment, and from the manifest itself never.
pub(crate) fn secret_text(
    parameters: &mut Parameters<'_>,
    parameter: &Parameter,
) -> Option<Secret> {
    let name = parameter.name;
    let secret = parameters.secret(parameter)?;
    let spec = parameters.spec();
    let is_plain = spec.metadata.contains_key(name) && !spec.from_environment.contains(name);
    if is_plain {
        let message = format!("{name} is a secret: give it by authentication, or as {name}FromEnv");
        parameters.problem(parameter, message);
        return None;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger() -> QueryTrigger {
        QueryTrigger::new("SELECT 1", 5.0, 2.0, "postgresql".to_owned())
    }

    #[test]
    fn a_number_is_a_reading_active_above_its_threshold() {
        let read = |value| trigger().judge(&Answer::Number(value)).unwrap().remove(0);
        let reading = read(2.5);
        assert_eq!((reading.value, reading.target), (2.5, 5.0));
        assert!(reading.activity.is_active());
        assert!(!read(2.0).activity.is_active());
        assert!(!read(0.0).activity.is_active());
    }

    #[test]
    fn what_is_no_amount_of_work_is_unknown() {
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            let error = trigger().judge(&Answer::Number(value)).unwrap_err();
            assert_eq!(error.kind, UnknownKind::Parse, "{value}");
        }
        let error = trigger().judge(&Answer::Slow).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Timeout);
    }
}
