//! Declared objects of a cluster, projected to functions and routes. Pure: no I/O, no clock.
//!
//! Objects go in one by one ([`Projection::upsert`], [`Projection::delete`]); what they mean together
//! comes out as [`Changes`]. A change compiles only the functions that it touches: every function
//! remembers which objects were looked at for it, found or not.

mod changes;
mod compile;
mod entry;
mod facts;
mod few;
mod function;
mod hosts;
mod index;
mod json;
mod key;
mod members;
mod options;
mod report;
mod rivals;
mod service;
mod snapshot;
mod target;
#[cfg(test)]
mod tests;
mod unresolved;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;
use zeron_core::{FunctionId, Timestamp};

pub use changes::{Changes, Conflict, Declared, DeniedSecret, MeshMode, ObjectReport, Outcome};
pub use key::{ObjectKey, ObjectKind, TargetKind};
pub use options::{CatchAll, KedaLife, Manage, ProjectionOptions};
pub use unresolved::ResolvedOnly;

use entry::{Entry, Quality};
use facts::Facts;
use few::Few;
use function::State;
use hosts::Hosts;
use index::{Index, service_key};
use report::Reports;

/// All declared objects of a cluster, and what they mean together.
#[derive(Debug)]
pub struct Projection {
    options: ProjectionOptions,
    index: Index,
    /// Functions that are declared.
    functions: BTreeMap<FunctionId, State>,
    /// Functions by the objects that were looked for when they were compiled.
    users: HashMap<ObjectKey, Few<FunctionId>>,
    /// By function: others whose requests come to it when they do not get ready.
    fallback_users: HashMap<FunctionId, Few<FunctionId>>,
    hosts: Hosts,
    /// By object with routes: the function that they lead to.
    routed: HashMap<ObjectKey, FunctionId>,
    reports: Reports,
    /// Secrets that may not be read, and what would allow it.
    denied: HashMap<ObjectKey, String>,
    keda: KedaLife,
    /// To be compiled again.
    dirty: BTreeSet<FunctionId>,
    /// Nothing changed but what their replicas are written to.
    retargeted: BTreeSet<FunctionId>,
    is_routing_dirty: bool,
    /// Functions whose routes, or whose own hosts, may have changed.
    rerouted: BTreeSet<FunctionId>,
    /// Only grows: there are few kinds.
    wanted_kinds: BTreeSet<(String, String)>,
}

/// An object without a name, or of a namespaced kind without a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object has no name or no namespace")]
pub struct Nameless;

impl Projection {
    /// Without any object.
    pub fn new(options: ProjectionOptions) -> Self {
        Self {
            options,
            index: Index::default(),
            functions: BTreeMap::new(),
            users: HashMap::new(),
            fallback_users: HashMap::new(),
            hosts: Hosts::default(),
            routed: HashMap::new(),
            reports: Reports::default(),
            denied: HashMap::new(),
            keda: KedaLife::default(),
            dirty: BTreeSet::new(),
            retargeted: BTreeSet::new(),
            is_routing_dirty: false,
            rerouted: BTreeSet::new(),
            wanted_kinds: BTreeSet::new(),
        }
    }

    /// Adds an object, or its newer version, as the API gives it. Returns its key.
    ///
    /// # Errors
    /// [`Nameless`] when it cannot be told apart from others.
    pub fn upsert(&mut self, kind: &ObjectKind, object: Value) -> Result<ObjectKey, Nameless> {
        let name = json::text(&object, &["metadata", "name"]).ok_or(Nameless)?;
        let is_cluster_scoped = *kind == ObjectKind::ClusterTriggerAuthentication;
        let namespace = match json::text(&object, &["metadata", "namespace"]) {
            _ if is_cluster_scoped => "",
            Some(namespace) => namespace,
            None => return Err(Nameless),
        };
        let key = ObjectKey::new(kind.clone(), namespace, name);
        if *kind == ObjectKind::Secret && self.denied.remove(&key).is_some() {
            self.touch(&key, &Facts::None);
        }
        if matches!(
            kind,
            ObjectKind::ScaledObject | ObjectKind::HttpScaledObject
        ) {
            self.wanted_kinds.extend(facts::wanted_kind(&object));
        }
        let entry = Entry::read(&key, object, self.options.keeps_status);
        match self.index.get(&key) {
            Some(old) if old.says_the_same(&entry) => self.refresh(&key, entry),
            Some(_) | None => self.replace(&key, entry),
        }
        Ok(key)
    }

    /// Removes an object that is gone.
    pub fn delete(&mut self, key: &ObjectKey) {
        self.denied.remove(key);
        let Some(facts) = self.index.facts(key).cloned() else {
            return;
        };
        self.touch(key, &facts);
        self.index.remove(key);
        self.touch(key, &facts);
    }

    /// Says that a Secret may not be read; `hint` is what would allow it.
    pub fn deny(&mut self, namespace: &str, name: &str, hint: &str) {
        let key = ObjectKey::new(ObjectKind::Secret, namespace, name);
        if self.denied.get(&key).is_some_and(|old| old == hint) {
            return;
        }
        self.delete(&key);
        self.denied.insert(key.clone(), hint.to_owned());
        self.touch(&key, &Facts::None);
    }

    /// Says whether a KEDA operator works.
    pub fn set_keda(&mut self, life: KedaLife) {
        if self.keda == life {
            return;
        }
        self.keda = life;
        self.dirty.extend(self.index.functions());
        let declared = self
            .index
            .objects
            .keys()
            .filter(|k| k.kind.is_declaration());
        self.reports.touch(declared);
    }

    /// Whether only labelled objects are ours now.
    pub fn is_labelled_only(&self) -> bool {
        match self.options.manage {
            Manage::All => false,
            Manage::Labelled => true,
            Manage::Auto => self.keda != KedaLife::Gone,
        }
    }

    /// The Secrets and ConfigMaps that the objects refer to.
    pub fn references(&self) -> impl Iterator<Item = &ObjectKey> {
        let is_value =
            |key: &&ObjectKey| matches!(key.kind, ObjectKind::Secret | ObjectKind::ConfigMap);
        self.users.keys().filter(is_value)
    }

    /// The `apiVersion` and `kind` of what objects want to scale.
    pub fn wanted_kinds(&self) -> &BTreeSet<(String, String)> {
        &self.wanted_kinds
    }

    /// What an object says, without what nobody reads; with its status where that is kept
    /// ([`ProjectionOptions::keeps_status`]).
    pub fn object(&self, key: &ObjectKey) -> Option<Value> {
        let entry = self.index.get(key)?;
        let mut object: Value = serde_json::from_slice(&entry.bytes).ok()?;
        if let (Some(fields), Ok(status)) = (
            object.as_object_mut(),
            serde_json::from_slice(&entry.status),
        ) {
            fields.insert("status".to_owned(), status);
        }
        Some(object)
    }

    /// All objects of a kind.
    pub fn keys(&self, kind: &ObjectKind) -> Vec<ObjectKey> {
        let keys = self.index.objects.keys();
        keys.filter(|key| key.kind == *kind).cloned().collect()
    }

    /// A function as it is declared now.
    pub fn declared(&self, function: &FunctionId) -> Option<Declared> {
        let state = self.functions.get(function)?;
        Some(Declared {
            last_active: self.last_active(&state.declared.objects),
            ..state.declared.clone()
        })
    }

    /// All functions that are declared.
    pub fn functions(&self) -> impl Iterator<Item = &Declared> {
        self.functions.values().map(|state| &state.declared)
    }

    /// Bytes of all objects that are kept.
    pub fn bytes(&self) -> usize {
        self.index.bytes()
    }

    /// What changed since the last time.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        while let Some(function) = self.dirty.pop_first() {
            self.compile(&function, &mut changes);
        }
        for function in std::mem::take(&mut self.retargeted) {
            self.retarget(&function, &mut changes);
        }
        self.report(&mut changes);
        if std::mem::take(&mut self.is_routing_dirty) {
            changes.routes = Some(std::sync::Arc::new(self.snapshot()));
        }
        changes
    }

    fn is_ours(&self, key: &ObjectKey) -> bool {
        let Some(entry) = self.index.get(key) else {
            return false;
        };
        let is_meant = entry.is_labelled || entry.is_adopted || !self.is_labelled_only();
        !entry.is_handed_back && is_meant
    }

    /// Requests of its function are ours and its replicas KEDA's, which came back after it was taken
    /// over. Its Service still leads to us then.
    fn is_lent(&self, key: &ObjectKey) -> bool {
        self.index.get(key).is_some_and(|entry| {
            let is_ours_alone = entry.is_labelled || !self.is_labelled_only();
            let is_keda_back = self.keda == KedaLife::Alive;
            (entry.is_handing_back || entry.is_adopted) && is_keda_back && !is_ours_alone
        })
    }

    /// On its way from KEDA to us or back: whoever may not write its replicas now will soon, or
    /// somebody else will. What was ours already and is KEDA's again is on no way.
    fn is_moving(&self, key: &ObjectKey) -> bool {
        self.index.get(key).is_some_and(|entry| {
            let is_coming = entry.is_adopted && !entry.is_taken && !entry.is_handed_back;
            entry.is_handing_back || is_coming
        })
    }

    /// Remembers of adopted objects that nobody but us writes their replicas.
    fn note_taken(&mut self, keys: &[ObjectKey]) {
        for key in keys {
            if let Some(entry) = self.index.objects.get_mut(key) {
                entry.is_taken = entry.is_adopted && !entry.is_handing_back;
            }
        }
    }

    /// On its way back to KEDA, which does not work yet: what waits has to be woken by us, and nobody
    /// but KEDA may take a replica away.
    fn is_returning(&self, key: &ObjectKey) -> bool {
        self.index
            .get(key)
            .is_some_and(|entry| entry.is_handing_back)
    }

    fn last_active(&self, objects: &[ObjectKey]) -> Option<Timestamp> {
        let times = objects
            .iter()
            .filter_map(|key| self.index.get(key)?.last_active);
        times.max()
    }

    /// A version that changes nothing of what is compiled.
    fn refresh(&mut self, key: &ObjectKey, mut entry: Entry) {
        let Some(old) = self.index.objects.get_mut(key) else {
            return;
        };
        if let (Facts::Target(target), true) = (&entry.facts, entry.facts != old.facts) {
            self.retargeted.insert(target.id.clone());
        }
        if entry.generation != old.generation {
            self.reports.touch([key]);
        }
        entry.quality = std::mem::replace(&mut old.quality, Quality::Good);
        entry.original_replicas = entry.original_replicas.or(old.original_replicas);
        entry.is_taken = entry.stays_taken(old);
        **old = entry;
    }

    fn replace(&mut self, key: &ObjectKey, mut entry: Entry) {
        if let Some(old) = self.index.facts(key).cloned() {
            self.touch(key, &old);
        }
        if let Some(old) = self.index.remove(key) {
            entry.inherit(old);
        }
        let facts = entry.facts.clone();
        self.index.insert(key, entry);
        self.touch(key, &facts);
    }

    /// Marks everything that an object with these facts may concern.
    fn touch(&mut self, key: &ObjectKey, facts: &Facts) {
        if key.kind.is_declaration() {
            self.reports.touch([key]);
        }
        self.dirty
            .extend(self.users.get(key).into_iter().flatten().cloned());
        self.dirty.extend(facts.target().cloned());
        match facts {
            Facts::Target(target) => {
                let mut services = self.index.services_of(&key.namespace, &target.labels);
                services.push(service_key(&key.namespace, &key.name));
                for service in &services {
                    self.touch_service(service);
                }
            }
            Facts::Service(service) => {
                self.dirty
                    .extend(self.index.selected(&key.namespace, service));
                self.touch_service(key);
            }
            Facts::Route(_) => self.touch_route(key),
            Facts::Scaled(scaled) => {
                for http in &scaled.http {
                    self.dirty
                        .extend(self.index.facts(http).and_then(Facts::target).cloned());
                    self.touch_route(http);
                }
            }
            Facts::Http(_)
            | Facts::Authentication(_)
            | Facts::Autoscaler(_)
            | Facts::Job(_)
            | Facts::None => {}
        }
        // Who uses them is said of them.
        self.reports.touch(facts.authentications());
    }

    fn touch_route(&mut self, key: &ObjectKey) {
        let Some((Some(service), _)) = self.index.facts(key).map(Facts::services) else {
            return;
        };
        let service = service_key(&key.namespace, service);
        self.dirty.extend(self.index.behind(&service));
        self.reports.touch([key]);
    }

    fn touch_service(&mut self, service: &ObjectKey) {
        self.dirty
            .extend(self.users.get(service).into_iter().flatten().cloned());
        self.dirty.extend(self.index.behind(service));
        self.reports.touch(self.index.routes_to(service));
    }
}

/// Without what objects say: there may be secrets among it.
impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (objects, functions) = (self.index.objects.len(), self.functions.len());
        write!(f, "{objects} objects, {functions} functions")
    }
}
