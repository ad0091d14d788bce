//! The triggers of one cluster: turns the offsets that were read into metric readings.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::metric::{Activity, MetricReading, Unknown};
use zeron_core::roles::{BoxFuture, TriggerHandle};

use super::cluster::Cluster;
use super::lag::{self, PreviousOffsets};
use super::plan::{Answer, Want};
use super::security::SourceKey;
use super::trigger::KafkaTrigger;
use crate::AddressPolicy;
use crate::source::{Client, Readings};

/// A client of one cluster with one set of credentials.
#[derive(Debug)]
pub(crate) struct KafkaClient {
    cluster: Cluster,
}

/// A trigger and what is remembered for it from one evaluation to the next.
#[derive(Debug)]
pub(crate) struct Trigger {
    declared: KafkaTrigger,
    previous: Mutex<PreviousOffsets>,
}

impl KafkaClient {
    /// A client that connects when it first reads.
    pub(crate) fn new(key: &SourceKey, addresses: AddressPolicy) -> Self {
        Self {
            cluster: Cluster::new(key, addresses),
        }
    }
}

impl Client for KafkaClient {
    type Trigger = Trigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<Trigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(async move {
            let wants: Vec<_> = triggers.iter().map(|trigger| trigger.want()).collect();
            let answers = self.cluster.read(&wants, timeout).await;
            let each = triggers.iter().zip(answers);
            each.map(|(trigger, answer)| trigger.judge(answer))
                .collect()
        })
    }

    fn forget(&self, _handle: TriggerHandle, trigger: &Trigger) {
        self.cluster.forget(&trigger.declared.group);
    }
}

impl Trigger {
    /// A trigger of which nothing is remembered.
    pub(crate) fn new(declared: KafkaTrigger) -> Self {
        Self {
            declared,
            previous: Mutex::default(),
        }
    }

    fn want(&self) -> Want {
        Want {
            group: self.declared.group.clone(),
            topics: self.declared.topics.clone(),
            limit: self.declared.partitions.clone(),
        }
    }

    fn judge(&self, answer: Answer) -> Readings {
        let partitions = answer.map_err(|error| Unknown::from(&error))?;
        let lag = lag::total(&self.declared.rules, &partitions, &mut self.previous.lock());
        Ok(vec![MetricReading {
            metric: self.declared.metric.clone(),
            value: real(lag.scaling),
            target: real(self.declared.rules.threshold),
            activity: Activity::Above {
                value: real(lag.activation),
                threshold: real(self.declared.activation_threshold),
            },
        }])
    }
}

/// Exact up to 2^53 records.
#[allow(clippy::cast_precision_loss)]
fn real(number: u64) -> f64 {
    number as f64
}
