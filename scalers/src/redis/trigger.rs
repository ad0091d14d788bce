//! A Redis trigger as its parameters declare it.

use parking_lot::Mutex;
use zeron_core::metric::{Activity, MetricReading};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::key::{Setup, SourceKey};
use super::measure::{Kind, Measure};
use super::table;
use crate::parameters::Parameters;

/// A Redis trigger as its parameters declare it.
#[derive(Debug)]
pub(super) struct RedisTrigger {
    /// The server and the credentials for it.
    pub(super) source: SourceKey,
    /// What is measured.
    pub(super) measure: Measure,
    /// What one replica should carry.
    target: f64,
    /// Active above this.
    activation: f64,
    /// The metric's name.
    metric: String,
    /// Whether arrivals are followed.
    pub(super) is_pushed: bool,
    /// What the key was last time.
    pub(super) last_kind: Mutex<Kind>,
}

impl RedisTrigger {
    /// The trigger, unless something is wrong with it, and everything that was noticed.
    pub(super) fn parse(spec: &TriggerSpec) -> (Option<Self>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(spec);
        let setup = if spec.kind.starts_with("redis-cluster") {
            Setup::Cluster
        } else if spec.kind.starts_with("redis-sentinel") {
            Setup::Sentinel
        } else {
            Setup::Single
        };
        let is_stream = spec.kind.ends_with("streams");
        let trigger = Self::read(&mut parameters, setup, is_stream);
        let problems = parameters.finish();
        let is_valid = problems.iter().all(|problem| problem.is_warning);
        (is_valid.then_some(trigger), problems)
    }

    fn read(parameters: &mut Parameters<'_>, setup: Setup, is_stream: bool) -> Self {
        let source = SourceKey::read(parameters, setup);
        let is_pushed = parameters.flag(&table::PUSH);
        let (measure, target, activation, metric) = if is_stream {
            let (measure, target) = read_stream(parameters);
            let activation = parameters.count(&table::ACTIVATION_LAG_COUNT);
            let metric = metric_name("redis-streams", measure.key());
            (measure, target, activation, metric)
        } else {
            let key = parameters.required(&table::LIST_NAME).to_owned();
            let target = parameters.count(&table::LIST_LENGTH);
            let activation = parameters.count(&table::ACTIVATION_LIST_LENGTH);
            let metric = metric_name("redis", &key);
            (Measure::Elements { key }, target, activation, metric)
        };
        let is_blind = matches!(measure, Measure::Pending { .. });
        if is_pushed && is_blind {
            let message = "push: an entry that arrives is not pending yet; lagCount sees it";
            parameters.warning(&table::PUSH, message);
        }
        Self {
            source,
            measure,
            target: number(target),
            activation: number(activation),
            metric,
            is_pushed: is_pushed && !is_blind,
            last_kind: Mutex::default(),
        }
    }

    /// The reading of a count.
    pub(super) fn reading(&self, count: u64) -> MetricReading {
        let value = number(count);
        MetricReading {
            metric: self.metric.clone(),
            value,
            target: self.target,
            activity: Activity::Above {
                value,
                threshold: self.activation,
            },
        }
    }
}

/// What counts of a stream, and the target for it.
fn read_stream(parameters: &mut Parameters<'_>) -> (Measure, u64) {
    let stream = parameters.required(&table::STREAM).to_owned();
    let pending = parameters.count(&table::PENDING_ENTRIES_COUNT);
    let length = parameters.count(&table::STREAM_LENGTH);
    let lag = parameters.integer(&table::LAG_COUNT).filter(|it| *it > 0);
    let lag = lag.and_then(|it| u64::try_from(it).ok());
    let group = parameters.text(&table::CONSUMER_GROUP).map(str::to_owned);
    match (group, lag) {
        (Some(group), Some(lag)) => (Measure::Lag { stream, group }, lag),
        (Some(group), None) => {
            let message = "consumerGroup without lagCount: entries that nobody got yet do not count, so they do not wake from zero";
            parameters.warning(&table::CONSUMER_GROUP, message);
            (Measure::Pending { stream, group }, pending)
        }
        (None, lag) => {
            if lag.is_some() {
                let message = "lagCount without consumerGroup: the stream's length counts";
                parameters.warning(&table::LAG_COUNT, message);
            }
            (Measure::StreamLength { stream }, length)
        }
    }
}

/// KEDA's name of the metric, with the characters that it replaces.
fn metric_name(prefix: &str, key: &str) -> String {
    format!("{prefix}-{key}").replace(['/', '.', ':', '%', '(', ')'], "-")
}

/// Counts are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
