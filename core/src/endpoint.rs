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
    /// `is_ready` is not enough: it is used once `probe` succeeded too, since it may be out of this
    /// process' reach (a mesh).
    #[serde(default)]
    pub is_probe_needed: bool,
    /// How many replicas it stands for, each of which may serve up to the function's limit: more
    /// than one where they are reached only together, by the address of a Service.
    #[serde(default = "one")]
    pub replicas: u32,
    /// How many activators send it requests without telling each other: each takes that part of
    /// the limit, and at least one request.
    #[serde(default = "one")]
    pub shared_by: u32,
}

impl Endpoint {
    /// Requests that one activator may send it at once, where each replica serves `limit`.
    pub fn slots(&self, limit: u32) -> u32 {
        slots(limit, self.replicas, self.shared_by)
    }
}

/// [`Endpoint::slots`] from its parts; none where there are no replicas.
pub fn slots(limit: u32, replicas: u32, shared_by: u32) -> u32 {
    let all = u64::from(limit) * u64::from(replicas);
    let share = all / u64::from(shared_by.max(1));
    let share = share.max(u64::from(all > 0));
    u32::try_from(share).unwrap_or(u32::MAX)
}

/// What an endpoint stands for unless said otherwise.
fn one() -> u32 {
    1
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
    /// Several activators share the replicas of a function with a limit without telling each
    /// other; `None`: whoever has this snapshot may use all.
    #[serde(default)]
    pub share: Option<Share>,
}

/// The part of one of several activators in the replicas that can be used at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its place among the activators, from 0.
    pub index: u32,
    /// How many there are.
    pub activators: u32,
}

impl Share {
    /// Whether the replica at `place` is in the part, of `count` replicas in an order that all
    /// activators agree on.
    ///
    /// Each activator has as many, side by side; of what is left over the first ones get one
    /// each. Where there are fewer replicas than activators, several activators share one
    /// (Knative's `assignSlice`, `pkg/activator/net/throttler.go`).
    pub fn has(self, place: usize, count: usize) -> bool {
        let index = usize::try_from(self.index).unwrap_or(usize::MAX);
        let activators = usize::try_from(self.activators).unwrap_or(usize::MAX);
        if activators <= 1 || count <= 1 {
            return true;
        }
        if count < activators {
            return place == index % count;
        }
        let each = count / activators;
        let shared = each * activators;
        match place < shared {
            true => place / each == index,
            false => place - shared == index,
        }
    }
}

impl EndpointSnapshot {
    /// Replicas that may be given requests.
    pub fn ready(&self) -> u32 {
        let ready = self.endpoints.iter().filter(|it| it.is_ready);
        replicas(ready)
    }

    /// Replicas that run and are not on their way out, ready or not.
    pub fn live(&self) -> u32 {
        replicas(self.endpoints.iter())
    }
}

/// Those of `endpoints` that stay.
fn replicas<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> u32 {
    endpoints
        .filter(|endpoint| !endpoint.is_draining)
        .fold(0, |sum, endpoint| sum.saturating_add(endpoint.replicas))
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
