//! One replica as its function knows it.

use std::net::SocketAddr;
use std::time::Instant;

use zeron_core::{Endpoint, EndpointId, Timestamp};

use crate::limits::Enforced;

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its order waits for a spawner.
    Queued,
    /// A spawner is starting its process.
    Spawning,
    /// It runs and was never ready.
    Starting,
    /// It answers its probe.
    Ready,
    /// It was ready and does not answer any more.
    Unready,
    /// It was told to stop.
    Draining,
    /// Its process ended by itself; what it wrote last is still being read.
    Exited,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: EndpointId,
    /// Which workload of its function it runs.
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    /// When it was asked for.
    pub(crate) begun: Instant,
    /// Set once it runs.
    pub(crate) process: Option<Process>,
    pub(crate) ready_at: Option<(Instant, Timestamp)>,
    /// When it last became ready or ceased to be.
    pub(crate) ready_changed: Option<Timestamp>,
    pub(crate) enforced: Enforced,
}

/// The process of a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) started_at: Timestamp,
}

impl Replica {
    pub(crate) fn queued(id: EndpointId, generation: u32, begun: Instant) -> Self {
        Self {
            id,
            generation,
            phase: Phase::Queued,
            begun,
            process: None,
            ready_at: None,
            ready_changed: None,
            enforced: Enforced::default(),
        }
    }

    /// Counts to the number that was asked for.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Draining | Phase::Exited)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// How the data plane sees it; `None` while it has no process.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        let process = self.process?;
        if self.phase == Phase::Exited {
            return None;
        }
        Some(Endpoint {
            id: self.id,
            address: process.address,
            is_ready: self.is_ready(),
            is_draining: self.phase == Phase::Draining,
            probe: None,
            is_probe_needed: false,
            replicas: 1,
            shared_by: 1,
        })
    }
}
