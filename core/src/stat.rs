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
