//! What the data plane reports of one function.

use serde::{Deserialize, Serialize};

use crate::endpoint::EndpointId;
use crate::id::FunctionId;
use crate::time::Timestamp;

/// One function's load over one reporting interval (one second).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    /// Whose load.
    pub function: FunctionId,
    /// End of the interval.
    pub at: Timestamp,
    /// Time-weighted mean of requests in flight and waiting.
    pub average_concurrency: f64,
    /// Requests that arrived in the interval.
    pub request_count: f64,
    /// Requests at a replica at `at`.
    pub in_flight: u32,
    /// Requests waiting at `at`.
    pub queued: u32,
    /// Replicas with something in flight at `at`, with how much: what is not here is idle.
    pub busy: Vec<(EndpointId, u32)>,
}

/// What one reporter counted of one function over about a second, to be added to what others
/// report: Knative's own statistics (`Stat` of knative/serving `pkg/autoscaler/metrics`).
///
/// Unlike a [`Stat`] it is no full account: who is silent is not known to have nothing, and how
/// much is in flight at this moment is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Whose load.
    pub function: FunctionId,
    /// When it was taken; whole seconds count.
    pub at: Timestamp,
    /// Time-weighted mean of requests in flight.
    pub average_concurrency: f64,
    /// The part of it that came through an activator, which reports it too.
    pub average_proxied_concurrency: f64,
    /// Requests that arrived.
    pub request_count: f64,
    /// The part of them that came through an activator, which reports it too.
    pub proxied_request_count: f64,
    /// Who counted: a replica, an activator.
    pub pod: Box<str>,
}
