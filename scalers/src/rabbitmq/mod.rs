//! RabbitMQ: lengths and rates of queues (`rabbitmq` triggers), by AMQP 0-9-1 or by the management API.
//!
//! Over AMQP, triggers of one server, login and virtual host share a connection. A queue's length is the answer to a
//! passive declare. All queues of an evaluation are asked for on one channel, sixteen before the first answer is awaited;
//! one that is missing closes the channel, so it is asked for on a channel of its own from then on. At most
//! eight channels are in use, however many queues there are.
//!
//! Over HTTP, triggers of one server and login share a client: see `management`.
//!
//! Differences to KEDA, all on purpose:
//! - A queue of which the management API has no count yet (it was just created, or its node is down) is unknown; KEDA takes
//!   it for empty.
//! - `operation: avg` does not round down: one message in three queues is work.
//! - `ExpectedQueueConsumptionTime` of a queue that drains within a second is 0, not negative; of an empty one it is 0.
//! - Names with spaces are found over HTTP.
//! - `username` and `password` in `metadata` are refused unless they come from the environment.
//! - Client certificates work without `tls: enable`; OAuth2 and Azure identities are refused.

mod amqp;
mod escaping;
mod formula;
mod host;
mod management;
mod table;
mod trigger;

use std::sync::Arc;
use std::time::Duration;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, BoxFuture, TriggerHandle, TriggerProblem};

use crate::AddressPolicy;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::{Client, Readings, Sources};
use amqp::Amqp;
use host::Protocol;
use management::Management;
use trigger::{RabbitTrigger, SourceKey};

/// The RabbitMQ source: one client per server and credentials.
#[derive(Debug)]
pub(crate) struct RabbitMq {
    sources: Sources<SourceKey, RabbitClient>,
    addresses: AddressPolicy,
}

impl RabbitMq {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            sources: Sources::default(),
            addresses,
        }
    }
}

impl SourceType for RabbitMq {
    fn types(&self) -> Vec<TriggerType> {
        vec![TriggerType {
            name: "rabbitmq",
            about: "length or rates of a queue of RabbitMQ",
            parameters: table::RABBITMQ,
        }]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        RabbitTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = RabbitTrigger::parse(trigger);
        let Some(parsed) = parsed else {
            return Err(configuration(&problems));
        };
        let key = parsed.source.clone();
        let make = || RabbitClient::new(&key, self.addresses.clone());
        Ok(self.sources.bind(&key, &key.shown(), make, parsed))
    }
}

/// A client of one server, by either protocol.
#[derive(Debug)]
enum RabbitClient {
    Amqp(Box<Amqp>),
    Http(Box<Management>),
}

impl RabbitClient {
    fn new(key: &SourceKey, addresses: AddressPolicy) -> Self {
        match key.protocol {
            Protocol::Amqp => Self::Amqp(Box::new(Amqp::new(key, addresses))),
            Protocol::Http => Self::Http(Box::new(Management::new(key, addresses))),
        }
    }
}

impl Client for RabbitClient {
    type Trigger = RabbitTrigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<RabbitTrigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        match self {
            Self::Amqp(client) => Box::pin(client.read(triggers, timeout)),
            Self::Http(client) => Box::pin(client.read(triggers, timeout)),
        }
    }

    fn forget(&self, _handle: TriggerHandle, trigger: &RabbitTrigger) {
        if let Self::Amqp(client) = self {
            client.forget(trigger);
        }
    }
}
