//! Kafka: consumer lag per topic, partition and group (`kafka` and `apache-kafka` triggers).
//!
//! One `cluster` per bootstrap servers and credentials, shared by all their triggers, with one connection to
//! each broker that is needed and no thread of its own. An evaluation asks one OffsetFetch of each coordinator
//! for all groups and one ListOffsets of each leader for all partitions; Metadata is asked once in half a
//! minute, FindCoordinator once per group. Groups are never joined, topics never created.
//!
//! An evaluation goes `client` -> `cluster` (`topics`, `committed` offsets, then log-end offsets) -> `brokers`
//! -> `broker` (connection kept, back-off) -> `connection` (TCP, TLS, `sasl`) in the words of `protocol`, and back through `plan`
//! and `lag`.
//!
//! Differences to KEDA, all on purpose:
//! - The replica count stops at the number of partitions; KEDA lets a remainder below one threshold
//!   ask for one more.
//! - `ensureEvenDistributionOfPartitions` without lag is no lag, not one threshold.
//! - A committed offset beyond the log end counts as no lag instead of lessening that of others.
//! - `apache-kafka` without `topic` reads the topics for which the group committed offsets, as `kafka`
//!   does; KEDA needs active members there, which a function at zero has not.
//! - SASL `oauthbearer`, `gssapi` and `aws_msk_iam` are refused, with all that was given for them.

mod broker;
mod brokers;
mod client;
mod cluster;
mod committed;
mod connection;
mod endpoint;
mod error;
mod lag;
mod partition;
mod plan;
mod protocol;
mod sasl;
mod scram;
mod security;
mod table;
mod topics;
mod trigger;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::AddressPolicy;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use client::{KafkaClient, Trigger};
use security::SourceKey;
use trigger::KafkaTrigger;

/// The Kafka source: one client per cluster and credentials, for as long as a trigger holds it.
#[derive(Debug)]
pub(crate) struct Kafka {
    sources: Sources<SourceKey, KafkaClient>,
    addresses: AddressPolicy,
}

impl Kafka {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            sources: Sources::default(),
            addresses,
        }
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
        let key = parsed.source.clone();
        let make = || KafkaClient::new(&key, self.addresses.clone());
        let shown = format!("kafka/{}", key.servers);
        Ok(self.sources.bind(&key, &shown, make, Trigger::new(parsed)))
    }
}
