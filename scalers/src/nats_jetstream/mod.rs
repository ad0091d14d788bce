//! NATS JetStream: what a consumer has not acknowledged (`nats-jetstream` triggers).
//!
//! Read from the monitoring endpoint (`/jsz`), once per evaluation for all triggers of one server and
//! account. In a cluster only the leader of a consumer knows its numbers: `client` asks the endpoint,
//! `nodes` finds the others by `/varz`, and the leaders are asked themselves, each once.
//!
//! Differences to KEDA, all on purpose:
//! - A stream or a consumer that does not exist is unknown, never the length of the stream.
//! - In a cluster a node that is down costs only the consumers that it leads.
//! - What is given as `natsServerMonitoringEndpoint` must be a host and a port.

mod client;
mod jsz;
mod nodes;
mod push;
mod table;
mod trigger;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::AddressPolicy;
use crate::http::shown;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use client::JetStreamClient;
use trigger::{AccountKey, JetStreamTrigger};

/// The JetStream source: one client per server and account.
#[derive(Debug)]
pub(crate) struct JetStream {
    clients: Sources<AccountKey, JetStreamClient>,
    addresses: AddressPolicy,
}

impl JetStream {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            clients: Sources::default(),
            addresses,
        }
    }
}

impl SourceType for JetStream {
    fn types(&self) -> Vec<TriggerType> {
        vec![TriggerType {
            name: "nats-jetstream",
            about: "messages that a JetStream consumer has not acknowledged",
            parameters: table::NATS_JETSTREAM,
        }]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        JetStreamTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = JetStreamTrigger::parse(trigger);
        let Some((account, parsed)) = parsed else {
            return Err(configuration(&problems));
        };
        let make = || JetStreamClient::new(self.addresses.clone(), account.clone());
        let shown = format!("nats-jetstream/{}", shown(&account.endpoint));
        Ok(self.clients.bind(&account, &shown, make, parsed))
    }
}
