//! Scalers that run as services of their own (`external` and `external-push` triggers).
//!
//! One channel per address and TLS material, shared by all their triggers and dialled on first use. An
//! evaluation goes `client` -> `link` (channel, back-off) -> `reading` (what was answered, checked);
//! `stream` follows what a scaler says by itself.
//!
//! Differences to KEDA, all on purpose:
//! - Every call has a deadline, and a scaler that does not answer takes nobody's time but its own.
//! - Metrics and activity of a trigger are asked for at the same time, and activity once, not once per metric.
//! - A value or target that is not finite, or negative, is unknown; so is a target of zero.
//! - A stream that broke is opened again after at most 5 s; KEDA may wait a minute.
//! - What a scaler says in an error is shown without the values that came from the environment.

mod address;
mod client;
mod dial;
mod error;
mod link;
mod reading;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod trigger;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::AddressPolicy;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use client::ScalerClient;
use link::LinkKey;
use trigger::Parsed;

/// External scalers: one client per address and TLS material.
#[derive(Debug)]
pub(crate) struct External {
    clients: Sources<LinkKey, ScalerClient>,
    addresses: AddressPolicy,
}

impl External {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            clients: Sources::default(),
            addresses,
        }
    }
}

impl SourceType for External {
    fn types(&self) -> Vec<TriggerType> {
        let of = |name, about| TriggerType {
            name,
            about,
            parameters: table::PARAMETERS,
        };
        vec![
            of("external", "what a scaler of somebody else's measures"),
            of(
                "external-push",
                "the same, of a scaler that also says by itself when there is work",
            ),
        ]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        trigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = trigger::parse(trigger);
        let Some(Parsed { link, trigger }) = parsed else {
            return Err(configuration(&problems));
        };
        let shown = format!("external/{}", link.address);
        let make = || ScalerClient::new(&link, self.addresses.clone());
        Ok(self.clients.bind(&link, &shown, make, trigger))
    }
}
