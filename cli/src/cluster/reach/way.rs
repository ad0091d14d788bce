//! What is known of the way to one function's replicas, and what follows from it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::AbortHandle;
use zeron_controller::projection::MeshMode;
use zeron_core::{Endpoint, EndpointId, EndpointSnapshot};

use super::digest;

/// Replicas that are asked.
const ASKED: usize = 3;

/// The way to one function's replicas.
#[derive(Debug)]
pub(super) struct Way {
    mode: MeshMode,
    /// Where they are reached together.
    service: Option<SocketAddr>,
    newest: Option<Arc<EndpointSnapshot>>,
    verdict: Verdict,
    /// They are being asked, or will be.
    asking: Option<AbortHandle>,
    /// What was sent on last.
    sent: Option<Arc<EndpointSnapshot>>,
}

/// What was found out about a mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    #[default]
    Open,
    /// Replicas are reached by their own addresses.
    Replicas,
    /// Only through the Service.
    Service,
    /// Neither answered: their own addresses for now.
    Undecided,
}

/// What is to be done about a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Its replicas are asked now: until then they get nothing.
    Ask,
    /// Later, whether they can be reached after all.
    AskAgain,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            mode: MeshMode::Disabled,
            service: None,
            newest: None,
            verdict: Verdict::Open,
            asking: None,
            sent: None,
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.stop_asking();
    }
}

impl Way {
    pub(super) fn declare(&mut self, mode: MeshMode, service: Option<SocketAddr>) {
        if (self.mode, self.service) == (mode, service) {
            return;
        }
        (self.mode, self.service) = (mode, service);
        self.forget_verdict();
    }

    pub(super) fn observe(&mut self, snapshot: Option<Arc<EndpointSnapshot>>) {
        self.newest = snapshot;
        let is_at_rest = self.newest.as_ref().is_none_or(|it| it.live() == 0);
        // The next ones may be in a mesh, or out of it; a Service that is the way is tried first.
        if self.newest.is_none() || is_at_rest && self.verdict != Verdict::Service {
            self.forget_verdict();
        } else if is_at_rest {
            self.stop_asking();
        }
        if self.newest.is_none() {
            self.sent = None;
        }
    }

    /// Where nothing was found out, what held before holds on.
    pub(super) fn decide(&mut self, verdict: Option<Verdict>) {
        self.asking = None;
        self.verdict = match (verdict, self.verdict) {
            (Some(found), _) => found,
            (None, Verdict::Open) => Verdict::Undecided,
            (None, known) => known,
        };
    }

    pub(super) fn asks(&mut self, task: AbortHandle) {
        self.asking = Some(task);
    }

    pub(super) fn next(&self) -> Next {
        let is_askable = self.mode == MeshMode::Auto && self.service.is_some();
        let has_any = !self.suspects().is_empty();
        match self.verdict {
            _ if !is_askable || !has_any || self.asking.is_some() => Next::Nothing,
            Verdict::Open => Next::Ask,
            Verdict::Service | Verdict::Undecided => Next::AskAgain,
            Verdict::Replicas => Next::Nothing,
        }
    }

    /// Whom to ask: replicas, and their Service.
    pub(super) fn asked(&self) -> Option<(Vec<SocketAddr>, SocketAddr)> {
        let suspects = self.suspects();
        let service = self.service.filter(|_| !suspects.is_empty())?;
        Some((suspects, service))
    }

    pub(super) fn is_through_service(&self) -> bool {
        self.through().is_some()
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.newest.is_none() && self.service.is_none() && self.mode == MeshMode::Disabled
    }

    /// The snapshot to send on, where it differs from the last one.
    pub(super) fn outgoing(&mut self) -> Option<Arc<EndpointSnapshot>> {
        let newest = self.newest.as_ref()?;
        let snapshot = match (self.through(), self.next()) {
            (Some(service), _) => Arc::new(together(newest, service)),
            (None, Next::Ask) => Arc::new(held(newest)),
            // While they are being asked, too.
            (None, _) if self.verdict == Verdict::Open && self.asking.is_some() => {
                Arc::new(held(newest))
            }
            (None, _) => Arc::clone(newest),
        };
        let is_sent = self.sent.as_ref().is_some_and(|sent| **sent == *snapshot);
        if is_sent {
            return None;
        }
        self.sent = Some(Arc::clone(&snapshot));
        Some(snapshot)
    }

    /// The Service's address, where that is the way.
    fn through(&self) -> Option<SocketAddr> {
        let is_chosen = match self.mode {
            MeshMode::Disabled => false,
            MeshMode::Enabled => true,
            MeshMode::Auto => self.verdict == Verdict::Service,
        };
        self.service.filter(|_| is_chosen)
    }

    /// Addresses of replicas of which the platform says that they are ready, and which a mesh may keep
    /// from us: those with a sidecar, among others, are the platform's to judge.
    fn suspects(&self) -> Vec<SocketAddr> {
        let endpoints = self.newest.iter().flat_map(|it| &it.endpoints);
        let suspects = endpoints.filter(|it| is_suspect(it));
        suspects.filter_map(|it| it.address).take(ASKED).collect()
    }

    fn forget_verdict(&mut self) {
        self.verdict = Verdict::Open;
        self.stop_asking();
    }

    fn stop_asking(&mut self) {
        if let Some(task) = self.asking.take() {
            task.abort();
        }
    }
}

fn is_suspect(endpoint: &Endpoint) -> bool {
    endpoint.is_ready && !endpoint.is_draining && endpoint.probe.is_none()
}

/// The same without those that a mesh may keep from us.
fn held(snapshot: &EndpointSnapshot) -> EndpointSnapshot {
    let mut held = snapshot.clone();
    for endpoint in held.endpoints.iter_mut().filter(|it| is_suspect(it)) {
        endpoint.is_ready = false;
    }
    held
}

/// All replicas as one, at the address of their Service.
fn together(snapshot: &EndpointSnapshot, service: SocketAddr) -> EndpointSnapshot {
    let (ready, live) = (snapshot.ready(), snapshot.live());
    let one = Endpoint {
        id: EndpointId(digest(service)),
        address: Some(service),
        is_ready: ready > 0,
        is_draining: false,
        probe: None,
        is_probe_needed: false,
        replicas: if ready > 0 { ready } else { live },
        shared_by: 1,
    };
    EndpointSnapshot {
        endpoints: Some(one).filter(|_| live > 0).into_iter().collect(),
        // Those that get ready are on their way, too.
        pending: snapshot.pending + if ready > 0 { live - ready } else { 0 },
        ..snapshot.clone()
    }
}
