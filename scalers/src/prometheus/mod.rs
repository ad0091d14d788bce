//! Prometheus: the value of one instant query (`prometheus` triggers).
//!
//! Triggers of one server with the same credentials share a client; equal queries of one evaluation
//! are asked once, and at most eight requests are under way. An evaluation goes `client` (one request
//! per distinct query) -> `answer` (the server's JSON) -> one reading per trigger.
//!
//! Differences to KEDA, all on purpose:
//! - Results of type `scalar` are taken; KEDA cannot decode them.
//! - No `time` is sent: the server's own clock decides what now is.
//! - A negative value is unknown, never a number to scale by.
//! - A CA is added to the system's in every mode; `tls` needs `cert` and `key` alone.
//! - `timeout` can only shorten the time that an evaluation has.
//! - Identities of AWS (SigV4), Azure and Google are not built in: `awsRegion` is refused.

mod answer;
mod client;
mod table;
mod trigger;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::AddressPolicy;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use client::PrometheusClient;
use trigger::{PrometheusTrigger, ServerKey};

/// The Prometheus source: one client per server and credentials.
#[derive(Debug)]
pub(crate) struct Prometheus {
    clients: Sources<ServerKey, PrometheusClient>,
    addresses: AddressPolicy,
}

impl Prometheus {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            clients: Sources::default(),
            addresses,
        }
    }
}

impl SourceType for Prometheus {
    fn types(&self) -> Vec<TriggerType> {
        vec![TriggerType {
            name: "prometheus",
            about: "the value of a PromQL query",
            parameters: table::PROMETHEUS,
        }]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        PrometheusTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = PrometheusTrigger::parse(trigger);
        let Some((server, parsed)) = parsed else {
            return Err(configuration(&problems));
        };
        let make = || PrometheusClient::new(self.addresses.clone(), &server.auth);
        let shown = format!("prometheus/{}", server.shown);
        Ok(self.clients.bind(&server, &shown, make, parsed))
    }
}
