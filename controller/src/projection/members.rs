//! Everything that has to be read for one function: its holder, what scales it, what leads to it,
//! and what those refer to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;
use zeron_core::FunctionId;

use super::facts::{AuthenticationFacts, Facts, ScaledFacts};
use super::few::Few;
use super::index::{Index, Lead, service_key};
use super::json::{items, text};
use super::key::{ObjectKey, ObjectKind};

/// Who concerns a function.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Its ScaledObjects, HTTPScaledObjects and InterceptorRoutes that are ours.
    pub(super) ours: Vec<ObjectKey>,
    /// Those that are not.
    pub(super) foreign: Vec<ObjectKey>,
    /// HorizontalPodAutoscalers on it.
    pub(super) autoscalers: Vec<ObjectKey>,
    /// Services that have opted in.
    pub(super) services: Vec<ObjectKey>,
    /// Objects of other functions whose requests come here when those do not get ready.
    pub(super) fallbacks: Vec<ObjectKey>,
}

impl Members {
    /// Finds them. `is_ours` says what we may act on; `fallback_users` are functions whose routes
    /// fall back to this one.
    pub(super) fn find(
        index: &Index,
        function: &FunctionId,
        fallback_users: &Few<FunctionId>,
        is_ours: impl Fn(&ObjectKey) -> bool,
    ) -> Self {
        let mut members = Self::default();
        for key in index.claimants(function) {
            match key.kind {
                ObjectKind::HorizontalPodAutoscaler => members.autoscalers.push(key.clone()),
                _ => members.add(index, key, &is_ours),
            }
        }
        for key in routes(index, function) {
            members.add(index, &key, &is_ours);
        }
        members.services = opted(index, function);
        for user in fallback_users {
            let claimants = index
                .claimants(user)
                .filter(|key| key.kind == ObjectKind::HttpScaledObject);
            let all = claimants.cloned().chain(routes(index, user));
            let leads_here = |key: &ObjectKey| fallback(index, key).as_ref() == Some(function);
            members
                .fallbacks
                .extend(all.filter(|key| leads_here(key) && is_ours(key)));
        }
        members
    }

    fn add(&mut self, index: &Index, key: &ObjectKey, is_ours: &impl Fn(&ObjectKey) -> bool) {
        let is_going = index.get(key).is_some_and(|entry| entry.is_deleting);
        if is_going {
            return;
        }
        match is_ours(key) {
            true => self.ours.push(key.clone()),
            false => self.foreign.push(key.clone()),
        }
    }

    /// Whether anything makes it a function of ours.
    pub(super) fn is_declared(&self) -> bool {
        !self.ours.is_empty() || !self.services.is_empty() || !self.fallbacks.is_empty()
    }
}

/// InterceptorRoutes that lead to a function.
fn routes(index: &Index, function: &FunctionId) -> Vec<ObjectKey> {
    let Some(holder) = index.holder(function) else {
        return Vec::new();
    };
    let Some(Facts::Target(target)) = index.facts(holder) else {
        return Vec::new();
    };
    let mut services = index.services_of(&holder.namespace, &target.labels);
    // Where there is no Service, its name means the Deployment.
    let same_name = service_key(&holder.namespace, &holder.name);
    if function.kind() == "Deployment" && index.get(&same_name).is_none() {
        services.push(same_name);
    }
    let mut found = Vec::new();
    for service in &services {
        for route in index.routes_to(service) {
            if index.lead(service, route) == Lead::To(function.clone()) {
                found.push(route.clone());
            }
        }
    }
    found
}

fn opted(index: &Index, function: &FunctionId) -> Vec<ObjectKey> {
    let Some(holder) = index.holder(function) else {
        return Vec::new();
    };
    let Some(Facts::Target(target)) = index.facts(holder) else {
        return Vec::new();
    };
    let is_opted = |key: &ObjectKey| {
        let is_alone = || index.behind(key).first() == Some(function);
        matches!(index.facts(key), Some(Facts::Service(s)) if s.is_opted) && is_alone()
    };
    let mut services = index.services_of(&holder.namespace, &target.labels);
    services.retain(is_opted);
    services
}

/// The function where requests of an object go when its own does not get ready.
pub(super) fn fallback(index: &Index, key: &ObjectKey) -> Option<FunctionId> {
    let (_, fallback) = index.facts(key)?.services();
    match index.lead(&service_key(&key.namespace, fallback?), key) {
        Lead::To(function) => Some(function),
        Lead::Nowhere(_) | Lead::Several(..) => None,
    }
}

/// The objects to read for a function, and all that were looked for.
#[derive(Debug)]
pub(super) struct Gathered<'i> {
    index: &'i Index,
    cluster_namespace: Arc<str>,
    /// To be read.
    pub(super) keys: Vec<ObjectKey>,
    /// Looked for, found or not: a change of any of them concerns the function.
    pub(super) wanted: BTreeSet<ObjectKey>,
    /// Functions that are fallbacks of this one.
    pub(super) fallbacks: BTreeSet<FunctionId>,
    /// Per ScaledObject: the TriggerAuthentications and what holds their values.
    pub(super) references: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// Objects whose own references were followed.
    followed: BTreeSet<ObjectKey>,
    pods: HashMap<FunctionId, Value>,
}

impl<'i> Gathered<'i> {
    /// Gathers for `function`.
    pub(super) fn gather(
        index: &'i Index,
        function: &FunctionId,
        members: &Members,
        cluster_namespace: &str,
    ) -> Self {
        let mut gathered = Self {
            index,
            cluster_namespace: cluster_namespace.into(),
            keys: Vec::new(),
            wanted: BTreeSet::new(),
            fallbacks: BTreeSet::new(),
            references: BTreeMap::new(),
            followed: BTreeSet::new(),
            pods: HashMap::new(),
        };
        gathered.add_function(function);
        for key in &members.services {
            gathered.add(key);
        }
        for key in members.ours.iter().chain(&members.fallbacks) {
            gathered.add_member(key, function);
        }
        gathered
    }

    fn add(&mut self, key: &ObjectKey) {
        self.wanted.insert(key.clone());
        let is_target = matches!(key.kind, ObjectKind::Target(_));
        let is_there = |key| {
            self.index
                .get(key)
                .is_some_and(|e| is_target || !e.is_deleting)
        };
        if is_there(key) && !self.keys.contains(key) {
            self.keys.push(key.clone());
        }
    }

    fn add_function(&mut self, function: &FunctionId) {
        if let Some(holder) = self.index.holder(function) {
            self.add(holder);
        }
    }

    /// An object that scales or routes, with what it refers to.
    fn add_member(&mut self, key: &ObjectKey, function: &FunctionId) {
        if !self.followed.insert(key.clone()) {
            return;
        }
        self.add(key);
        let Some(facts) = self.index.facts(key) else {
            return;
        };
        if let (Facts::Http(http), true) = (facts, key.kind == ObjectKind::HttpScaledObject)
            && let Some(target) = &http.target
        {
            self.add_function(target);
            self.wanted.insert(ObjectKey {
                kind: ObjectKind::InterceptorRoute,
                ..key.clone()
            });
        }
        let (service, fallback) = facts.services();
        for (service, is_fallback) in service
            .map(|s| (s, false))
            .into_iter()
            .chain(fallback.map(|s| (s, true)))
        {
            self.add_service(
                &service_key(&key.namespace, service),
                key,
                function,
                is_fallback,
            );
        }
        match facts {
            Facts::Scaled(scaled) | Facts::Job(scaled) => self.add_scaled(key, scaled, function),
            Facts::Route(route) => {
                for name in &route.config_maps {
                    self.add(&ObjectKey::new(ObjectKind::ConfigMap, &key.namespace, name));
                }
            }
            _ => {}
        }
    }

    fn add_service(
        &mut self,
        service: &ObjectKey,
        of: &ObjectKey,
        function: &FunctionId,
        is_fallback: bool,
    ) {
        self.add(service);
        if is_fallback {
            if let Lead::To(found) = self.index.lead(service, of) {
                self.add_function(&found);
                if found != *function {
                    self.fallbacks.insert(found);
                }
            }
        } else if of.kind == ObjectKind::InterceptorRoute
            && let Lead::To(found) = self.index.lead(service, of)
        {
            self.add_function(&found);
        }
    }

    fn add_scaled(&mut self, key: &ObjectKey, scaled: &ScaledFacts, function: &FunctionId) {
        for http in &scaled.http {
            self.add_member(http, function);
        }
        let target = scaled.target.as_ref().unwrap_or(function);
        let mut values = BTreeSet::new();
        let container = scaled.container.as_deref();
        for variable in &scaled.variables {
            self.variable(target, container, variable, &mut values);
        }
        let mut references = BTreeSet::new();
        for authentication in &scaled.authentications {
            self.add(authentication);
            references.insert(authentication.clone());
            if let Some(Facts::Authentication(facts)) = self.index.facts(authentication) {
                self.authentication(authentication, facts, &mut values);
                for (named, variable) in &facts.variables {
                    let container = named.as_deref().or(container);
                    self.variable(target, container, variable, &mut values);
                }
            }
        }
        for value in &values {
            self.add(value);
        }
        references.extend(values);
        self.references.insert(key.clone(), references);
    }

    fn authentication(
        &self,
        key: &ObjectKey,
        facts: &AuthenticationFacts,
        values: &mut BTreeSet<ObjectKey>,
    ) {
        let namespace = match key.kind {
            ObjectKind::ClusterTriggerAuthentication => &self.cluster_namespace,
            _ => &key.namespace,
        };
        let of = |kind: ObjectKind, names: &BTreeSet<String>| -> Vec<ObjectKey> {
            let key = |name: &String| ObjectKey::new(kind.clone(), namespace, name);
            names.iter().map(key).collect()
        };
        values.extend(of(ObjectKind::Secret, &facts.secrets));
        values.extend(of(ObjectKind::ConfigMap, &facts.config_maps));
    }

    /// Where a variable of the target's pods comes from: only that is read.
    fn variable(
        &mut self,
        target: &FunctionId,
        container: Option<&str>,
        name: &str,
        values: &mut BTreeSet<ObjectKey>,
    ) {
        let namespace = target.namespace().to_owned();
        let Some(pod) = self.pod(target) else { return };
        let containers = items(pod, &["spec", "template", "spec", "containers"]);
        let is_it = |c: &&Value| container.is_none_or(|name| text(c, &["name"]) == Some(name));
        let Some(container) = containers.iter().find(is_it) else {
            return;
        };
        let found = items(container, &["env"])
            .iter()
            .rev()
            .find(|v| text(v, &["name"]) == Some(name));
        let sources = match found {
            Some(variable) => vec![variable],
            None => items(container, &["envFrom"]).iter().collect(),
        };
        const PATHS: [(&[&str], bool); 4] = [
            (&["valueFrom", "secretKeyRef", "name"], true),
            (&["valueFrom", "configMapKeyRef", "name"], false),
            (&["secretRef", "name"], true),
            (&["configMapRef", "name"], false),
        ];
        for source in sources {
            for (path, is_secret) in PATHS {
                let kind = if is_secret {
                    ObjectKind::Secret
                } else {
                    ObjectKind::ConfigMap
                };
                let name = text(source, path);
                values.extend(name.map(|name| ObjectKey::new(kind, &namespace, name)));
            }
        }
    }

    fn pod(&mut self, function: &FunctionId) -> Option<&Value> {
        if !self.pods.contains_key(function) {
            let holder = self.index.holder(function)?;
            let entry = self.index.get(holder)?;
            let mut value: Value = serde_json::from_slice(&entry.bytes).ok()?;
            if holder.kind == ObjectKind::ScaledJob {
                let job = value.pointer_mut("/spec/jobTargetRef")?.take();
                value = serde_json::json!({ "spec": job });
            }
            self.pods.insert(function.clone(), value);
        }
        self.pods.get(function)
    }
}
