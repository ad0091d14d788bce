//! Kafka: consumer lag per topic, partition and group (`kafka` and `apache-kafka` triggers).
//!
//! One `cluster` per bootstrap servers and credentials, shared by all their triggers. One client
//! of it answers metadata and log-end offsets for all groups in batches. Committed offsets need a
//! client per group, because librdkafka's safe interface reads them only under its own `group.id`:
//! those are made on first use, never subscribe (so they never join the group), close with their last
//! trigger, and are bounded (about four threads and 400 KiB each). A connection of our own that speaks OffsetFetch for many groups at once
//! would be cheaper from some hundred groups on, but has to repeat every SASL and TLS quirk that
//! librdkafka knows.
//!
//! An evaluation goes `scaler` -> `cluster` (metadata, committed offsets, then log-end offsets)
//! -> `client` on a `lane`'s threads, and back through `lag`.
//!
//! Differences to KEDA, all on purpose:
//! - The replica count stops at the number of partitions; KEDA lets a remainder below one threshold
//!   ask for one more.
//! - `ensureEvenDistributionOfPartitions` without lag is no lag, not one threshold.
//! - A committed offset beyond the log end counts as no lag instead of lessening that of others.
//! - `apache-kafka` without `topic` reads the topics for which the group committed offsets, as `kafka`
//!   does; KEDA needs active members there, which a function at zero has not.
//! - SASL `oauthbearer`, `gssapi` and `aws_msk_iam` are refused by name.

mod client;
mod clients;
mod cluster;
mod error;
mod lag;
mod lane;
mod partition;
mod plan;
mod scaler;
mod security;
mod table;
mod topics;
mod trigger;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::registry::{SourceType, TriggerType, configuration};
use scaler::KafkaScaler;
use security::SourceKey;
use trigger::KafkaTrigger;

/// The Kafka source: one scaler per cluster and credentials, for as long as a trigger holds it.
#[derive(Debug, Default)]
pub(crate) struct Kafka {
    scalers: Mutex<HashMap<SourceKey, Weak<KafkaScaler>>>,
    next_source: AtomicU64,
}

impl Kafka {
    fn scaler(&self, key: &SourceKey) -> Arc<KafkaScaler> {
        let mut scalers = self.scalers.lock();
        scalers.retain(|_, scaler| scaler.strong_count() > 0);
        if let Some(scaler) = scalers.get(key).and_then(Weak::upgrade) {
            return scaler;
        }
        let number = self.next_source.fetch_add(1, Ordering::Relaxed);
        let scaler = Arc::new(KafkaScaler::new(key, number));
        scalers.insert(key.clone(), Arc::downgrade(&scaler));
        scaler
    }
}

impl SourceType for Kafka {
    fn types(&self) -> Vec<TriggerType> {
        let about = "lag of a consumer group on topics of Kafka";
        let of = |name, parameters| TriggerType {
            name,
            about,
            parameters,
        };
        vec![
            of("kafka", table::KAFKA),
            of("apache-kafka", table::APACHE_KAFKA),
        ]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        KafkaTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = KafkaTrigger::parse(trigger);
        let Some(parsed) = parsed else {
            return Err(configuration(&problems));
        };
        let scaler = self.scaler(&parsed.source);
        let handle = scaler.add(parsed);
        Ok(BoundTrigger {
            source: scaler.name(),
            scaler,
            handle,
        })
    }
}
