//! Where a function's replicas are reached, as a back end publishes it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::workload::ReadinessProbe;

/// One replica, unique for as long as its back end runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(pub u64);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One replica of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which replica.
    pub id: EndpointId,
    /// Where it listens; `None` for a function without a port.
    pub address: Option<SocketAddr>,
    /// It answered its readiness probe.
    pub is_ready: bool,
    /// It is about to stop: nothing new may be sent to it.
    pub is_draining: bool,
    /// How the data plane finds out by itself that it is ready, without waiting for the platform
    /// to say so; `None`: only `is_ready` counts.
    pub probe: Option<Arc<ReadinessProbe>>,
}

/// All replicas of one function at one moment. Immutable; a change publishes a new one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointSnapshot {
    /// Replicas that run, ready or not.
    pub endpoints: Vec<Endpoint>,
    /// Replicas asked for that do not run yet (waiting for a crash back-off, say).
    pub pending: u32,
    /// Why the newest start failed; `None` once a replica is ready again.
    pub failure: Option<StartFailure>,
}

impl EndpointSnapshot {
    /// Replicas that may be given requests.
    pub fn ready(&self) -> u32 {
        count(
            self.endpoints
                .iter()
                .filter(|e| e.is_ready && !e.is_draining),
        )
    }

    /// Replicas that run and are not on their way out, ready or not.
    pub fn live(&self) -> u32 {
        count(self.endpoints.iter().filter(|e| !e.is_draining))
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// Why a replica could not start, in the platform's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// One CamelCase word, such as `CrashLoopBackOff` or `ExitCode1`.
    pub reason: String,
    /// The exit status and the last lines of stderr, or what else is known.
    pub message: String,
    /// When it failed.
    pub at: Timestamp,
    /// When the next attempt is made, if one is.
    pub retry_at: Option<Timestamp>,
    /// Waiting requests should be refused now rather than wait for the next attempt.
    pub is_final: bool,
}
