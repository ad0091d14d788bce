//! A number of any HTTP API (`metrics-api` triggers).
//!
//! Triggers of one server with the same credentials share a client; a URL is fetched once per
//! evaluation, and at most eight requests are under way. An evaluation goes `client` (one request per
//! distinct URL) -> `document` (JSON, YAML and XML as one tree, or Prometheus text) -> `location` or
//! `selector` (the value in it) -> one reading per trigger.
//!
//! XML is a tree like JSON: the root element is the only key of the top, children are keys, several of
//! one name are an array, attributes are keys with `-` before their names, and text beside
//! attributes or children is `_text`. An element with nothing but text is that text: `<a><b>7</b></a>`
//! is `{"a":{"b":"7"}}`. Names are without their prefixes.
//!
//! Differences to KEDA, all on purpose:
//! - `xml` works; KEDA's decoder cannot decode into what it is given.
//! - YAML and XML take the same paths as JSON (gjson), not dots alone.
//! - Prometheus text: matchers mean what they say (`!=`, `=~` and `!~` too), a regular expression
//!   matches the whole value, and several series that match are added up; KEDA takes the first.
//!   Series of histograms and summaries can be read by their names (`x_bucket`, `x_sum`, `x_count`).
//! - A negative value, NaN and infinite are unknown, never numbers to scale by.
//! - Every 2xx is a success, not 200 alone.
//! - `timeout` can only shorten the time that an evaluation has.
//! - `aggregateFromKubeServiceEndpoints`: an endpoint without a value makes the whole unknown; KEDA joins the
//!   rest. An endpoint that does not serve the URL's port is asked at its only one.

mod client;
mod document;
mod endpoints;
mod location;
mod quantity;
mod selector;
mod table;
mod trigger;
mod xml;

use std::sync::Arc;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::AddressPolicy;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use client::{MetricsApiClient, elsewhere};
use trigger::{MetricsApiTrigger, ServerKey};

pub use endpoints::{EndpointLookup, ReadyEndpoint, ServiceName};

/// The source of any HTTP API: one client per server and credentials.
#[derive(Debug)]
pub(crate) struct MetricsApi {
    clients: Sources<ServerKey, MetricsApiClient>,
    addresses: AddressPolicy,
    endpoints: Option<Arc<dyn EndpointLookup>>,
}

impl MetricsApi {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            clients: Sources::default(),
            addresses,
            endpoints: None,
        }
    }

    /// The same, in a cluster.
    pub(crate) fn with_endpoints(self, endpoints: Arc<dyn EndpointLookup>) -> Self {
        Self {
            endpoints: Some(endpoints),
            ..self
        }
    }
}

impl SourceType for MetricsApi {
    fn types(&self) -> Vec<TriggerType> {
        vec![TriggerType {
            name: "metrics-api",
            about: "a number of any HTTP API",
            parameters: table::METRICS_API,
        }]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        MetricsApiTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = MetricsApiTrigger::parse(trigger);
        let Some((server, parsed)) = parsed else {
            return Err(configuration(&problems));
        };
        if parsed.aggregate.is_some() && self.endpoints.is_none() {
            return Err(elsewhere());
        }
        let make = || {
            let endpoints = self.endpoints.clone();
            MetricsApiClient::new(self.addresses.clone(), &server.auth, endpoints)
        };
        let shown = format!("metrics-api/{}", server.shown);
        Ok(self.clients.bind(&server, &shown, make, parsed))
    }
}
