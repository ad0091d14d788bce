//! What the Endpoints say of each revision, and the snapshot that follows from it. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use zeron_core::endpoint::Share;
use zeron_core::{Endpoint, EndpointId, EndpointSnapshot, FunctionId};

use super::Publication;
use super::config::{Asking, EndpointsConfig, MeshCompatibility, RevisionTarget};
use super::raw::{RawAddress, RawEndpoints};
use crate::pods::endpoint_id;

/// Names the revision, on Services and what is derived from them.
const OF_REVISION: &str = "serving.knative.dev/revision";
/// Which of a revision's two Services it is.
pub(super) const SERVICE_TYPE: &str = "networking.internal.knative.dev/serviceType";
/// The kind of a revision's id.
const REVISION: &str = "Revision";

/// All revisions that are declared or have Endpoints.
#[derive(Debug)]
pub(super) struct Table {
    config: EndpointsConfig,
    revisions: HashMap<FunctionId, Entry>,
    changed: BTreeSet<FunctionId>,
    /// Those that are reached by a Service whose address is not known.
    lost: BTreeSet<FunctionId>,
}

#[derive(Debug, Default)]
struct Entry {
    asking: Option<Asking>,
    /// Behind the private Service.
    backends: Seen<Vec<Backend>>,
    /// Behind the public one: activators, or pods while no activator is in the path.
    front: Seen<Vec<Port<IpAddr>>>,
    /// Our part, as the public Service said last.
    share: Option<Share>,
    way: Way,
    published: Option<Arc<EndpointSnapshot>>,
}

/// Something, and the full list that it was seen in.
#[derive(Debug, Default)]
struct Seen<T> {
    what: T,
    generation: u64,
}

/// Something behind a port with a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port<T> {
    is_http2: bool,
    at: T,
}

/// A pod behind a private Service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Backend {
    port: Port<SocketAddr>,
    id: EndpointId,
    is_ready: bool,
}

/// How the pods of a revision are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Pods,
    /// All together by their Service; `None`: its address is not known yet.
    Service(Option<SocketAddr>),
}

/// Which Service of a revision an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Private,
    Public,
}

impl Table {
    pub(super) fn new(config: &EndpointsConfig) -> Self {
        Self {
            config: config.clone(),
            revisions: HashMap::new(),
            changed: BTreeSet::new(),
            lost: BTreeSet::new(),
        }
    }

    pub(super) fn declare(&mut self, target: RevisionTarget) {
        let probe = Arc::new(self.config.probe(&target.id));
        self.changed.insert(target.id.clone());
        let entry = self.revisions.entry(target.id.clone()).or_default();
        let is_same = entry.asking.as_ref().is_some_and(|it| it.target == target);
        if !is_same {
            entry.asking = Some(Asking { target, probe });
            entry.learn_share(self.config.own_address);
        }
    }

    /// Whether sinks knew it.
    pub(super) fn forget(&mut self, id: &FunctionId) -> bool {
        self.changed.remove(id);
        self.lost.remove(id);
        let Some(entry) = self.revisions.get_mut(id) else {
            return false;
        };
        let was_published = entry.published.take().is_some();
        (entry.asking, entry.share, entry.way) = (None, None, Way::Pods);
        if entry.is_empty() {
            self.revisions.remove(id);
        }
        was_published
    }

    /// Takes one object, as seen in full list `generation` or after it.
    pub(super) fn apply(&mut self, object: &RawEndpoints, generation: u64) {
        let Some((id, side)) = whose(object) else {
            return;
        };
        let entry = self.revisions.entry(id.clone()).or_default();
        match side {
            Side::Private => entry.backends = seen(backends(object), generation),
            Side::Public => {
                entry.front = seen(front(object), generation);
                entry.learn_share(self.config.own_address);
            }
        }
        self.changed.insert(id);
    }

    pub(super) fn delete(&mut self, object: &RawEndpoints) {
        if let Some((id, side)) = whose(object) {
            self.lose(&id, side);
        }
    }

    /// Forgets what was not in full list `generation`.
    pub(super) fn sweep(&mut self, generation: u64) {
        let ids: Vec<_> = self.revisions.keys().cloned().collect();
        for id in ids {
            let entry = &self.revisions[&id];
            let (is_old, is_old_front) = (
                entry.backends.generation < generation,
                entry.front.generation < generation,
            );
            if is_old {
                self.lose(&id, Side::Private);
            }
            if is_old_front {
                self.lose(&id, Side::Public);
            }
        }
    }

    fn lose(&mut self, id: &FunctionId, side: Side) {
        let Some(entry) = self.revisions.get_mut(id) else {
            return;
        };
        match side {
            Side::Private => entry.backends.what.clear(),
            Side::Public => entry.front.what.clear(),
        }
        self.changed.insert(id.clone());
        if entry.is_empty() && entry.asking.is_none() {
            self.revisions.remove(id);
        }
    }

    /// What sinks have to be told since the last call.
    pub(super) fn publications(&mut self) -> Vec<Publication> {
        let mut publications = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            let Some(entry) = self.revisions.get_mut(&id) else {
                continue;
            };
            let Some(snapshot) = entry.snapshot(self.config.mesh) else {
                continue;
            };
            match entry.wants_address() {
                true => self.lost.insert(id.clone()),
                false => self.lost.remove(&id),
            };
            if entry.published.as_deref() != Some(&snapshot) {
                let snapshot = Arc::new(snapshot);
                entry.published = Some(Arc::clone(&snapshot));
                publications.push((id, Some(snapshot)));
            }
        }
        publications
    }

    /// Everything that sinks were told.
    pub(super) fn published(&self) -> Vec<Publication> {
        let published = self.revisions.iter();
        published
            .filter_map(|(id, entry)| Some((id.clone(), Some(entry.published.clone()?))))
            .collect()
    }

    pub(super) fn target(&self, id: &FunctionId) -> Option<&RevisionTarget> {
        let asking = self.revisions.get(id)?.asking.as_ref()?;
        Some(&asking.target)
    }

    /// Revisions that are reached by a Service whose address is not known.
    pub(super) fn addresses_wanted(&self) -> Vec<RevisionTarget> {
        let lost = self.lost.iter().filter_map(|id| self.target(id));
        lost.cloned().collect()
    }

    pub(super) fn wants_addresses(&self) -> bool {
        !self.lost.is_empty()
    }

    /// From now on a revision is reached by its Service.
    pub(super) fn reach_by_service(&mut self, id: &FunctionId, address: SocketAddr) {
        if let Some(entry) = self.revisions.get_mut(id) {
            entry.way = Way::Service(Some(address));
            self.changed.insert(id.clone());
        }
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.backends.what.is_empty() && self.front.what.is_empty()
    }

    fn wants_address(&self) -> bool {
        self.way == Way::Service(None) && !self.backends.what.is_empty()
    }

    /// Our place among the activators in the path. One that is not among them keeps what it had:
    /// what still comes is for few moments.
    fn learn_share(&mut self, own: IpAddr) {
        let Some(asking) = &self.asking else { return };
        let named = self.front.what.iter();
        let named = named.filter(|it| it.is_http2 == asking.target.is_http2);
        let mut activators: Vec<String> = named.map(|it| it.at.to_string()).collect();
        activators.sort_unstable();
        activators.dedup();
        let own = own.to_string();
        if let Ok(index) = activators.binary_search(&own) {
            let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
            self.share = Some(Share {
                index: number(index),
                activators: number(activators.len()),
            });
        }
    }

    /// Where its replicas are; `None` for a revision that nobody declared.
    fn snapshot(&mut self, mesh: MeshCompatibility) -> Option<EndpointSnapshot> {
        let asking = self.asking.as_ref()?;
        let backends = self.backends.what.iter();
        let backends = backends.filter(|it| it.port.is_http2 == asking.target.is_http2);
        let backends: Vec<_> = backends.collect();
        self.way = match (self.way, mesh) {
            // A Service that was deleted and made again has another address.
            (Way::Service(_), _) if backends.is_empty() => Way::Service(None),
            (Way::Pods, MeshCompatibility::Enabled) => Way::Service(None),
            (way, _) => way,
        };
        let endpoints = match self.way {
            Way::Pods => {
                let endpoints = backends.iter().map(|it| it.endpoint(asking, mesh));
                endpoints.collect()
            }
            Way::Service(None) => Vec::new(),
            Way::Service(Some(address)) => {
                let ready = backends.iter().filter(|it| it.is_ready).count();
                let replicas = u32::try_from(ready).unwrap_or(u32::MAX);
                let one = together(asking, address, replicas, self.share);
                Some(one).filter(|_| replicas > 0).into_iter().collect()
            }
        };
        Some(EndpointSnapshot {
            endpoints,
            share: self.share.filter(|_| asking.target.has_limit),
            ..EndpointSnapshot::default()
        })
    }
}

impl Backend {
    fn endpoint(&self, asking: &Asking, mesh: MeshCompatibility) -> Endpoint {
        // Where its own word is not enough, it is asked once the platform calls it ready, to see
        // whether it can be reached.
        let is_asked = asking.target.is_probe_enough || self.is_ready;
        Endpoint {
            id: self.id,
            address: Some(self.port.at),
            is_ready: self.is_ready,
            is_draining: false,
            probe: is_asked.then(|| Arc::clone(&asking.probe)),
            is_probe_needed: mesh == MeshCompatibility::Auto,
            replicas: 1,
            shared_by: 1,
        }
    }
}

/// All pods as one, at the address of their Service.
fn together(asking: &Asking, address: SocketAddr, replicas: u32, share: Option<Share>) -> Endpoint {
    Endpoint {
        id: endpoint_id(&address.to_string()),
        address: Some(address),
        is_ready: true,
        is_draining: false,
        probe: Some(Arc::clone(&asking.probe)),
        is_probe_needed: true,
        replicas,
        shared_by: share.map_or(1, |share| share.activators),
    }
}

fn seen<T>(what: T, generation: u64) -> Seen<T> {
    Seen { what, generation }
}

fn whose(object: &RawEndpoints) -> Option<(FunctionId, Side)> {
    let side = match object.label(SERVICE_TYPE)? {
        "Private" => Side::Private,
        "Public" => Side::Public,
        _ => return None,
    };
    let namespace = object.metadata.namespace.as_deref()?;
    let revision = object.label(OF_REVISION)?;
    Some((FunctionId::new(namespace, REVISION, revision), side))
}

/// Which of the two ports that lead to requests a name means.
fn is_http2(name: Option<&str>) -> Option<bool> {
    match name? {
        "http" => Some(false),
        "http2" => Some(true),
        _ => None,
    }
}

fn backends(object: &RawEndpoints) -> Vec<Backend> {
    let mut backends = Vec::new();
    for subset in &object.subsets {
        for port in &subset.ports {
            let Some(is_http2) = is_http2(port.name.as_deref()) else {
                continue;
            };
            let ready = subset.addresses.iter().map(|it| (it, true));
            let not_ready = subset.not_ready_addresses.iter().map(|it| (it, false));
            let addresses = ready.chain(not_ready).filter_map(|(address, is_ready)| {
                let at = SocketAddr::new(address.ip.parse().ok()?, port.port);
                Some(Backend {
                    port: Port { is_http2, at },
                    id: name_of(address),
                    is_ready,
                })
            });
            backends.extend(addresses);
        }
    }
    // A pod may stand in two subsets for a moment: ready in one counts.
    backends.sort_by_key(|it| (it.port.clone(), !it.is_ready));
    backends.dedup_by_key(|it| it.port.clone());
    backends
}

fn name_of(address: &RawAddress) -> EndpointId {
    let target = address.target_ref.as_ref();
    let uid = target.and_then(|target| target.uid.as_deref());
    endpoint_id(uid.unwrap_or(&address.ip))
}

fn front(object: &RawEndpoints) -> Vec<Port<IpAddr>> {
    let mut front = Vec::new();
    for subset in &object.subsets {
        for port in &subset.ports {
            let Some(is_http2) = is_http2(port.name.as_deref()) else {
                continue;
            };
            let addresses = subset.addresses.iter();
            let addresses = addresses.filter_map(|it| it.ip.parse().ok());
            front.extend(addresses.map(|at| Port { is_http2, at }));
        }
    }
    front
}
