//! One function: compiled from its members, and what its replicas are written to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;

use zeron_backend_kubernetes::TargetPort;
use zeron_backend_kubernetes::jobs::JobObject;
use zeron_catalog::{Component, PodPort};
use zeron_core::policy::Writer;
use zeron_core::{Function, FunctionId, Route};

use super::Projection;
use super::changes::{Changes, Conflict, Declared, DeniedSecret, MeshMode, Outcome};
use super::compile::{Compiled, Verdict, compile};
use super::facts::Facts;
use super::few::Few;
use super::key::{ObjectKey, ObjectKind};
use super::members::{Gathered, Members};
use super::report::Finding;
use super::snapshot::{is_wake_allowed, is_woken_by_requests, wake_count};

/// A function that is declared.
#[derive(Debug)]
pub(super) struct State {
    pub(super) declared: Declared,
    /// Its routes, with the objects that declare them; hosts of others among them.
    pub(super) routes: Vec<(ObjectKey, Arc<Route>)>,
    /// Its routes with the hosts that are its own.
    pub(super) own: Vec<Arc<Route>>,
    wanted: Few<ObjectKey>,
    fallbacks: Few<FunctionId>,
}

impl Projection {
    /// Compiles a function again.
    pub(super) fn compile(&mut self, id: &FunctionId, changes: &mut Changes) {
        let no_users = Few::default();
        let users = self.fallback_users.get(id).unwrap_or(&no_users);
        let mut members = Members::find(&self.index, id, users, |key| self.is_ours(key));
        for key in members.foreign.iter().chain(&members.ours) {
            self.reports.touch([key]);
        }
        let holder = self.index.holder(id).cloned();
        let Some(holder) = holder.filter(|_| members.is_declared()) else {
            return self.forget(id, changes);
        };
        self.find_outranked(id, &mut members);
        let namespace = self.options.cluster_namespace.clone();
        self.note_original(&holder, &members);
        let gathered = Gathered::gather(&self.index, id, &members, &namespace);
        let denied = self.denied_among(&gathered.wanted);
        let scalers = Arc::clone(&self.options.scalers);
        let compiled = compile(
            &self.index,
            &gathered.keys,
            &denied,
            scalers.as_ref(),
            &namespace,
        );
        let wanted = gathered.wanted.iter().cloned().collect();
        let fallbacks = gathered.fallbacks.iter().cloned().collect();
        let references = gathered.references.clone();
        self.judge(&members, &compiled);
        let Compiled {
            component,
            verdicts,
        } = compiled;
        let port = port(&component, id);
        let routes = self.routes(&members, &component);
        let Some(mut function) = component.functions.into_iter().find(|f| f.id == *id) else {
            self.find_unusable(id, &members, &verdicts);
            return self.forget(id, changes);
        };
        let conflict = self.conflict(&members, &mut function, &verdicts);
        if function.scale.writer == Writer::Zeron {
            self.note_taken(&members.ours);
        }
        for key in members.ours.iter().chain(&members.services) {
            let Some(verdict) = verdicts.get(key) else {
                continue;
            };
            let mut finding = self.finding(id, key, verdict, conflict.as_ref());
            for reference in references.get(key).into_iter().flatten() {
                finding
                    .denied
                    .extend(denied.iter().filter(|d| is_it(d, reference)).cloned());
                let verdict = verdicts.get(reference);
                finding
                    .partial
                    .extend(verdict.into_iter().flat_map(|v| told(reference, v)));
            }
            self.reports.find(key, finding);
        }
        let is_held = self.is_held(&members, conflict.as_ref());
        let objects = members
            .ours
            .iter()
            .chain(&members.services)
            .cloned()
            .collect();
        self.claim_hosts(id, &members, &routes);
        let product = Product {
            job: self.job(&holder, component.jobs.get(id)),
            service: self.service(id, &members),
            mesh: self.mesh(&members),
            function,
            is_held,
            port,
            objects,
            routes,
            wanted,
            fallbacks,
        };
        self.install(id, &holder, product, changes);
    }

    /// Says of a ScaledJob that cannot be used at all what is wrong with it.
    fn find_unusable(
        &mut self,
        id: &FunctionId,
        members: &Members,
        verdicts: &BTreeMap<ObjectKey, Verdict>,
    ) {
        for key in &members.ours {
            if let Some(verdict) = verdicts.get(key) {
                let finding = self.finding(id, key, verdict, None);
                self.reports.find(key, finding);
            }
        }
    }

    /// Takes out objects that another one outranks, and says so of them.
    fn find_outranked(&mut self, id: &FunctionId, members: &mut Members) {
        for (key, owner) in self.outranked(members) {
            let outcome = Outcome::Conflict(Conflict::Older { owner });
            self.reports.find(&key, Finding::plain(outcome, Some(id)));
        }
    }

    /// Of several objects of a kind that scale by themselves only the oldest does: takes the others
    /// out, each with the one that outranks it.
    fn outranked(&self, members: &mut Members) -> Vec<(ObjectKey, ObjectKey)> {
        let rank = |key: &ObjectKey| (self.index.get(key).map(|e| e.created), key.clone());
        let scaled = |key: &&ObjectKey| key.kind == ObjectKind::ScaledObject;
        let first = members
            .ours
            .iter()
            .filter(scaled)
            .min_by_key(|key| rank(key))
            .cloned();
        let named: Vec<ObjectKey> = match first.as_ref().and_then(|key| self.index.facts(key)) {
            Some(Facts::Scaled(facts)) => facts.http.clone(),
            _ => Vec::new(),
        };
        let is_alone = |key: &&ObjectKey| match self.index.facts(key) {
            Some(Facts::Http(http)) => http.is_scaling && !named.contains(key),
            _ => false,
        };
        let first_http = members
            .ours
            .iter()
            .filter(is_alone)
            .min_by_key(|key| rank(key))
            .cloned();
        let mut outranked = Vec::new();
        members.ours.retain(|key| {
            let owner = match key.kind {
                ObjectKind::ScaledObject => first.as_ref(),
                ObjectKind::HttpScaledObject if is_alone(&key) => first_http.as_ref(),
                _ => None,
            };
            let owner = owner.filter(|owner| *owner != key);
            outranked.extend(owner.map(|owner| (key.clone(), owner.clone())));
            owner.is_none()
        });
        outranked
    }

    /// Remembers what the target has before anything scales it for these objects.
    fn note_original(&mut self, holder: &ObjectKey, members: &Members) {
        let Some(Facts::Target(target)) = self.index.facts(holder) else {
            return;
        };
        let replicas = target.replicas;
        for key in &members.ours {
            let entry = self.index.objects.get_mut(key);
            if let Some(entry) = entry.filter(|_| key.kind == ObjectKind::ScaledObject) {
                entry.original_replicas = entry.original_replicas.or(replicas);
            }
        }
    }

    fn denied_among(&self, wanted: &BTreeSet<ObjectKey>) -> Vec<DeniedSecret> {
        let denied = |key: &ObjectKey| {
            Some(DeniedSecret {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                hint: self.denied.get(key)?.clone(),
            })
        };
        wanted.iter().filter_map(denied).collect()
    }

    /// Remembers which versions can be used, for when newer ones cannot.
    fn judge(&mut self, members: &Members, compiled: &Compiled) {
        for (key, verdict) in &compiled.verdicts {
            if !key.kind.is_authentication() && !members.ours.contains(key) {
                continue;
            }
            if let Some(entry) = self.index.objects.get_mut(key) {
                entry.judge(verdict.errors.is_empty());
            }
        }
    }

    /// Routes of the function's own objects, but for those of which an InterceptorRoute of the same
    /// name takes the place.
    fn routes(&self, members: &Members, component: &Component) -> Vec<(ObjectKey, Arc<Route>)> {
        let own: Vec<_> = members
            .ours
            .iter()
            .chain(&members.services)
            .filter(|key| self.replacement(key).is_none())
            .map(|key| (key, key.object_ref()))
            .collect();
        let owned = |route: &Route| {
            let (key, _) = own.iter().find(|(_, object)| *object == route.source)?;
            Some(((*key).clone(), Arc::new(route.clone())))
        };
        component.routes.iter().filter_map(owned).collect()
    }

    /// The InterceptorRoute that takes the place of an HTTPScaledObject's routes.
    fn replacement(&self, key: &ObjectKey) -> Option<ObjectKey> {
        let route = ObjectKey {
            kind: ObjectKind::InterceptorRoute,
            ..key.clone()
        };
        let is_replaced = key.kind == ObjectKind::HttpScaledObject && self.is_ours(&route);
        Some(route).filter(|_| is_replaced)
    }

    fn finding(
        &self,
        id: &FunctionId,
        key: &ObjectKey,
        verdict: &Verdict,
        conflict: Option<&Conflict>,
    ) -> Finding {
        let is_scaling = match self.index.facts(key) {
            Some(Facts::Scaled(_) | Facts::Job(_)) => true,
            Some(Facts::Http(http)) => http.is_scaling,
            _ => false,
        };
        let mut outcome = verdict.outcome();
        if outcome == Outcome::Ok {
            let replaced = self
                .replacement(key)
                .map(|owner| Conflict::Replaced { owner });
            let conflict = conflict.filter(|_| is_scaling).cloned().or(replaced);
            outcome = conflict.map_or(Outcome::Ok, Outcome::Conflict);
        }
        Finding {
            function: Some(id.clone()),
            outcome,
            partial: verdict.partial.clone(),
            warnings: verdict.warnings.clone(),
            denied: Vec::new(),
        }
    }

    fn claim_hosts(
        &mut self,
        id: &FunctionId,
        members: &Members,
        routes: &[(ObjectKey, Arc<Route>)],
    ) {
        let before: Vec<ObjectKey> = match self.functions.get(id) {
            Some(state) => state.declared.objects.clone(),
            None => Vec::new(),
        };
        let gone = before.iter().filter(|key| !members.ours.contains(key));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.unclaim(id, &key);
        }
        for key in &members.ours {
            let created = self.index.get(key).map(|entry| entry.created);
            let own = routes
                .iter()
                .filter(|(source, _)| source == key)
                .map(|(_, route)| route.as_ref());
            let touched = self.hosts.claim(
                key,
                created.unwrap_or_default(),
                own,
                &self.options.catch_all,
            );
            self.rehost(&touched);
            self.routed.insert(key.clone(), id.clone());
        }
    }

    /// Others may have won or lost hosts.
    fn rehost(&mut self, touched: &BTreeSet<ObjectKey>) {
        let functions = touched.iter().filter_map(|key| self.routed.get(key));
        self.rerouted.extend(functions.cloned());
        self.is_routing_dirty |= !touched.is_empty();
        self.reports.touch(touched);
    }

    /// Gives up the hosts of an object that does not lead to `id` any more.
    fn unclaim(&mut self, id: &FunctionId, key: &ObjectKey) {
        if self.routed.get(key) != Some(id) {
            return;
        }
        self.routed.remove(key);
        let touched = self.hosts.claim(
            key,
            zeron_core::Timestamp::EPOCH,
            std::iter::empty(),
            &self.options.catch_all,
        );
        self.rehost(&touched);
    }

    fn install(
        &mut self,
        id: &FunctionId,
        holder: &ObjectKey,
        product: Product,
        changes: &mut Changes,
    ) {
        let Product {
            job,
            service,
            mesh,
            function,
            is_held,
            port,
            objects,
            routes,
            wanted,
            fallbacks,
        } = product;
        let Some(target) = self.target(holder, port) else {
            return self.forget(id, changes);
        };
        let mut old = self.functions.remove(id);
        self.relink(id, old.as_ref(), &wanted, &fallbacks);
        let function = match &old {
            Some(old) if *old.declared.function == function => Arc::clone(&old.declared.function),
            Some(_) | None => Arc::new(function),
        };
        let is_wake_allowed = !target.is_deleting
            && (is_wake_allowed(&function)
                || is_held && is_woken_by_requests(&function.scale)
                || self.is_scaled_elsewhere(&function, &objects));
        let declared = Declared {
            wake_count: wake_count(&function),
            is_wake_allowed,
            last_active: self.last_active(&objects),
            target: Arc::new(target),
            function,
            objects,
            service,
            mesh,
            job,
        };
        let is_other = |old: &State| old.declared.target.uid != declared.target.uid;
        if old.as_ref().is_some_and(is_other) {
            changes.removed.push(id.clone());
        }
        let is_rerouted = old.as_ref().is_none_or(|old| old.routes != routes);
        if is_rerouted {
            self.rerouted.insert(id.clone());
        }
        self.is_routing_dirty |= is_rerouted
            || old
                .as_ref()
                .is_none_or(|old| !is_same_to_callers(&old.declared, &declared));
        let own = match old.as_mut() {
            Some(old) => std::mem::take(&mut old.own),
            None => Vec::new(),
        };
        if old.is_none_or(|old| old.declared != declared) {
            changes.applied.push(declared.clone());
        }
        let state = State {
            declared,
            routes,
            own,
            wanted,
            fallbacks,
        };
        self.functions.insert(id.clone(), state);
    }

    /// Remembers which objects and functions concern this one. A function that becomes, or is no
    /// longer, somebody's fallback is compiled again.
    fn relink(
        &mut self,
        id: &FunctionId,
        old: Option<&State>,
        wanted: &Few<ObjectKey>,
        fallbacks: &Few<FunctionId>,
    ) {
        let (nothing, nobody) = (Few::default(), Few::default());
        let (old_wanted, old_fallbacks) =
            old.map_or((&nothing, &nobody), |old| (&old.wanted, &old.fallbacks));
        for key in old_wanted.iter().filter(|key| !wanted.contains(key)) {
            drop_from(&mut self.users, key, id);
        }
        for key in wanted.iter().filter(|key| !old_wanted.contains(key)) {
            self.users
                .entry(key.clone())
                .or_default()
                .insert(id.clone());
        }
        for function in old_fallbacks.iter().filter(|id| !fallbacks.contains(id)) {
            drop_from(&mut self.fallback_users, function, id);
            self.dirty.insert(function.clone());
        }
        for function in fallbacks.iter().filter(|id| !old_fallbacks.contains(id)) {
            let users = self.fallback_users.entry(function.clone()).or_default();
            users.insert(id.clone());
            self.dirty.insert(function.clone());
        }
    }

    fn forget(&mut self, id: &FunctionId, changes: &mut Changes) {
        let Some(old) = self.functions.remove(id) else {
            return;
        };
        self.relink(id, Some(&old), &Few::default(), &Few::default());
        for key in &old.declared.objects {
            self.unclaim(id, key);
            self.reports.touch([key]);
        }
        self.is_routing_dirty = true;
        changes.removed.push(id.clone());
    }
}

/// What compiling a function gives.
struct Product {
    job: Option<Arc<JobObject>>,
    service: Option<SocketAddr>,
    mesh: Option<MeshMode>,
    function: Function,
    /// Requests wait while somebody else writes the replicas.
    is_held: bool,
    port: TargetPort,
    objects: Vec<ObjectKey>,
    routes: Vec<(ObjectKey, Arc<Route>)>,
    wanted: Few<ObjectKey>,
    fallbacks: Few<FunctionId>,
}

/// Whether nothing changed that callers could notice: how it scales is nothing to a data plane.
fn is_same_to_callers(old: &Declared, new: &Declared) -> bool {
    let of = |f: &Function| (f.protocol, f.concurrency_limit, f.timeouts, f.admission);
    old.is_wake_allowed == new.is_wake_allowed
        && old.wake_count == new.wake_count
        && of(&old.function) == of(&new.function)
        && old.function.workload == new.function.workload
}

fn drop_from<K: Eq + Hash>(users: &mut HashMap<K, Few<FunctionId>>, key: &K, id: &FunctionId) {
    if let Some(of_key) = users.get_mut(key) {
        of_key.remove(id);
        if of_key.is_empty() {
            users.remove(key);
        }
    }
}

fn port(component: &Component, id: &FunctionId) -> TargetPort {
    match component.ports.get(id) {
        None => TargetPort::None,
        Some(PodPort::First) => TargetPort::First,
        Some(PodPort::Number(number)) => TargetPort::Number(*number),
        Some(PodPort::Name(name)) => TargetPort::Name(name.as_str().into()),
    }
}

fn is_it(denied: &DeniedSecret, key: &ObjectKey) -> bool {
    key.kind == ObjectKind::Secret && denied.namespace == key.namespace && denied.name == key.name
}

/// What is wrong with something that an object refers to.
fn told(key: &ObjectKey, verdict: &Verdict) -> Vec<String> {
    let problems = verdict.errors.iter().chain(&verdict.partial);
    problems
        .map(|problem| format!("{key}: {problem}"))
        .collect()
}
