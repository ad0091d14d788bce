//! Replicas as people look at them.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use zeron_core::{EndpointId, Timestamp};

use crate::fleet::Phase;
use crate::limits::Enforced;

/// One replica now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// As in the endpoint snapshots.
    pub id: EndpointId,
    /// Its own name, which it has in its environment as `ZERON_REPLICA`.
    pub name: String,
    /// What it does.
    pub state: ReplicaState,
    /// Its process, which leads a process group of the same number; `None` before it runs.
    pub pid: Option<u32>,
    /// Where it listens, if it has a port.
    pub address: Option<SocketAddr>,
    /// When its process was started.
    pub started_at: Option<Timestamp>,
    /// When it first answered its readiness probe.
    pub ready_at: Option<Timestamp>,
    /// Where its output is kept; the file is made when something is written.
    pub log_path: PathBuf,
    /// How its limits are enforced.
    pub enforced: Enforced,
}

/// What a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ReplicaState {
    /// It waits for its process.
    Pending,
    /// Its process runs and was never ready.
    Starting,
    /// It answers its readiness probe.
    Ready,
    /// It was ready and does not answer any more.
    Unready,
    /// It was told to stop.
    Draining,
    /// Its process ended by itself.
    Exited,
}

impl From<Phase> for ReplicaState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Queued | Phase::Spawning => Self::Pending,
            Phase::Starting => Self::Starting,
            Phase::Ready => Self::Ready,
            Phase::Unready => Self::Unready,
            Phase::Draining => Self::Draining,
            Phase::Exited => Self::Exited,
        }
    }
}
