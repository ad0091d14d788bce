//! The triggers of one cluster: turns the offsets that were read into metric readings.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::roles::{BoxFuture, Scaler, TriggerHandle};

use super::cluster::Cluster;
use super::lag::{self, PreviousOffsets};
use super::plan::{Answer, Want};
use super::security::SourceKey;
use super::trigger::KafkaTrigger;

type Readings = Result<Vec<MetricReading>, Unknown>;

/// All triggers of one cluster and credentials.
#[derive(Debug)]
pub(crate) struct KafkaScaler {
    name: Arc<str>,
    cluster: Cluster,
    triggers: Mutex<HashMap<TriggerHandle, Arc<Trigger>>>,
    next: AtomicU64,
}

/// A trigger and what is remembered for it from one evaluation to the next.
#[derive(Debug)]
struct Trigger {
    declared: KafkaTrigger,
    previous: Mutex<PreviousOffsets>,
}

impl KafkaScaler {
    /// The scaler of the cluster `key`; `number` tells clusters of equal address apart.
    pub(crate) fn new(key: &SourceKey, number: u64) -> Self {
        Self {
            name: format!("kafka/{}/{number}", key.servers).into(),
            cluster: Cluster::new(key),
            triggers: Mutex::default(),
            next: AtomicU64::default(),
        }
    }

    /// Names the source, without secrets.
    pub(crate) fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Takes a trigger in.
    pub(crate) fn add(&self, declared: KafkaTrigger) -> TriggerHandle {
        let handle = TriggerHandle(self.next.fetch_add(1, Ordering::Relaxed));
        let trigger = Trigger {
            declared,
            previous: Mutex::default(),
        };
        self.triggers.lock().insert(handle, Arc::new(trigger));
        handle
    }

    async fn read(&self, handles: &[TriggerHandle], timeout: Duration) -> Vec<Readings> {
        let triggers: Vec<_> = {
            let known = self.triggers.lock();
            handles
                .iter()
                .map(|handle| known.get(handle).cloned())
                .collect()
        };
        let wants: Vec<_> = triggers
            .iter()
            .flatten()
            .map(|trigger| trigger.want())
            .collect();
        let mut answers = self.cluster.read(&wants, timeout).await.into_iter();
        triggers
            .iter()
            .map(|trigger| match trigger {
                Some(trigger) => trigger.judge(answers.next()),
                None => Err(not_read("the trigger was released")),
            })
            .collect()
    }
}

impl Scaler for KafkaScaler {
    fn evaluate<'a>(
        &'a self,
        triggers: &'a [TriggerHandle],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(self.read(triggers, timeout))
    }

    fn release(&self, trigger: TriggerHandle) {
        let mut triggers = self.triggers.lock();
        let Some(released) = triggers.remove(&trigger) else {
            return;
        };
        let group = &released.declared.group;
        if !triggers
            .values()
            .any(|other| other.declared.group == *group)
        {
            self.cluster.forget(group);
        }
    }
}

impl Trigger {
    fn want(&self) -> Want {
        Want {
            group: self.declared.group.clone(),
            topics: self.declared.topics.clone(),
            limit: self.declared.partitions.clone(),
        }
    }

    fn judge(&self, answer: Option<Answer>) -> Readings {
        let partitions = answer
            .expect("a cluster answers every want")
            .map_err(|error| Unknown::from(&error))?;
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

fn not_read(message: &str) -> Unknown {
    Unknown {
        kind: UnknownKind::NotRead,
        message: message.to_owned(),
    }
}

/// Exact up to 2^53 records.
#[allow(clippy::cast_precision_loss)]
fn real(number: u64) -> f64 {
    number as f64
}
