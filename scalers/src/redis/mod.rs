//! Redis: lengths of lists and streams, entries pending for a group, and its lag.
//!
//! Triggers of equal server, credentials and database share one client. An evaluation of all of them is one pipeline
//! (for a cluster one per node), in chunks of a thousand commands: `reader` finds the different questions, `measure` says
//! which commands they are and what the answers mean, `node` keeps one multiplexed connection and leaves a server alone
//! for a while that failed, `cluster` and `sentinel` know where a key or a master is. `push` follows arrivals on
//! connections of its own.
//!
//! Differences to KEDA, all on purpose:
//! - No script: lengths are asked for by their own commands, so the user needs no right to EVAL.
//! - A lag that Redis itself cannot tell (nil) is unknown; KEDA takes it as zero.
//! - The server's version is not asked for: a server without lags says so by its answer.
//! - `databaseIndex` of a cluster is ignored with a warning.
//! - `push` is ours.

mod backoff;
mod client;
mod cluster;
mod connection;
mod error;
mod key;
mod measure;
mod node;
mod push;
mod reader;
mod sentinel;
mod slots;
mod stream;
mod table;
mod trigger;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::AddressPolicy;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use client::RedisClient;
use key::SourceKey;
use trigger::RedisTrigger;

/// The Redis source: one client per server, credentials and database, for as long as a trigger holds it.
#[derive(Debug)]
pub(crate) struct Redis {
    clients: Sources<SourceKey, RedisClient>,
    addresses: AddressPolicy,
}

impl Redis {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            clients: Sources::default(),
            addresses,
        }
    }
}

impl SourceType for Redis {
    fn types(&self) -> Vec<TriggerType> {
        let list = "elements of a list, set, sorted set or hash of Redis";
        let stream = "length of a stream of Redis, or a consumer group's pending entries or lag";
        let of = |name, about, parameters| TriggerType {
            name,
            about,
            parameters,
        };
        vec![
            of("redis", list, table::LISTS),
            of("redis-cluster", list, table::CLUSTER_LISTS),
            of("redis-sentinel", list, table::SENTINEL_LISTS),
            of("redis-streams", stream, table::STREAMS),
            of("redis-cluster-streams", stream, table::CLUSTER_STREAMS),
            of("redis-sentinel-streams", stream, table::SENTINEL_STREAMS),
        ]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        RedisTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = RedisTrigger::parse(trigger);
        let Some(parsed) = parsed else {
            return Err(configuration(&problems));
        };
        let key = parsed.source.clone();
        let shown = format!("redis/{key}");
        let make = || RedisClient::new(&key, &self.addresses);
        Ok(self.clients.bind(&key, &shown, make, parsed))
    }
}
