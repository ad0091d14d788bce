//! All objects, and who concerns whom.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use zeron_core::FunctionId;

use super::entry::Entry;
use super::facts::{Facts, Labels, ServiceFacts};
use super::few::Few;
use super::key::{ObjectKey, ObjectKind};

/// Namespace, and a label as `key=value`.
type Label = (Arc<str>, Box<str>);

/// All objects by what they concern.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) objects: HashMap<ObjectKey, Box<Entry>>,
    /// What holds the replicas of a function.
    holders: HashMap<FunctionId, ObjectKey>,
    /// ScaledObjects, HTTPScaledObjects and autoscalers by the function that they name.
    claimants: HashMap<FunctionId, Few<ObjectKey>>,
    /// What holds replicas, by each label of its pods.
    by_label: HashMap<Label, Few<FunctionId>>,
    /// Services by the first label of their selector.
    by_selector: HashMap<Label, Few<ObjectKey>>,
    /// InterceptorRoutes by the Service that they lead to.
    routes: HashMap<ObjectKey, Few<ObjectKey>>,
    /// ScaledObjects by the HTTP objects that their triggers name.
    namers: HashMap<ObjectKey, Few<ObjectKey>>,
    /// ScaledObjects and ScaledJobs by the authentications that their triggers name.
    authenticated: HashMap<ObjectKey, Few<ObjectKey>>,
}

/// Where an InterceptorRoute's or a fallback's Service leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// To this function.
    To(FunctionId),
    /// Nowhere: what is missing, in words.
    Nowhere(String),
    /// To several.
    Several(FunctionId, FunctionId),
}

impl Index {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Entry> {
        self.objects.get(key).map(Box::as_ref)
    }

    pub(super) fn facts(&self, key: &ObjectKey) -> Option<&Facts> {
        self.objects.get(key).map(|entry| &entry.facts)
    }

    /// Adds or replaces an object; returns what it was before.
    pub(super) fn insert(&mut self, key: &ObjectKey, entry: Entry) -> Option<Entry> {
        let old = self.remove(key);
        self.link(key, &entry.facts, true);
        self.objects.insert(key.clone(), Box::new(entry));
        old
    }

    /// Removes an object.
    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Entry> {
        let old = self.objects.remove(key)?;
        self.link(key, &old.facts, false);
        Some(*old)
    }

    fn link(&mut self, key: &ObjectKey, facts: &Facts, is_added: bool) {
        match facts {
            Facts::Target(target) => {
                match is_added {
                    true => drop(self.holders.insert(target.id.clone(), key.clone())),
                    false => drop(self.holders.remove(&target.id)),
                }
                if !target.is_part {
                    for pair in pairs(&target.labels) {
                        let label = (key.namespace.clone(), pair);
                        set(&mut self.by_label, label, &target.id, is_added);
                    }
                }
            }
            Facts::Service(service) => {
                if let Some(pair) = pairs(&service.selector).next() {
                    let label = (key.namespace.clone(), pair);
                    set(&mut self.by_selector, label, key, is_added);
                }
            }
            Facts::Route(route) => {
                if let Some(service) = &route.service {
                    let service = service_key(&key.namespace, service);
                    set(&mut self.routes, service, key, is_added);
                }
            }
            Facts::Scaled(scaled) => {
                for http in &scaled.http {
                    set(&mut self.namers, http.clone(), key, is_added);
                }
            }
            // It is what its function is held by.
            Facts::Job(job) => {
                if let Some(id) = &job.target {
                    match is_added {
                        true => drop(self.holders.insert(id.clone(), key.clone())),
                        false => drop(self.holders.remove(id)),
                    }
                }
            }
            Facts::Http(_) | Facts::Authentication(_) | Facts::Autoscaler(_) | Facts::None => {}
        }
        for authentication in facts.authentications() {
            set(
                &mut self.authenticated,
                authentication.clone(),
                key,
                is_added,
            );
        }
        if !matches!(facts, Facts::Target(_))
            && let Some(target) = facts.target()
        {
            set(&mut self.claimants, target.clone(), key, is_added);
        }
    }

    /// What holds the replicas of a function.
    pub(super) fn holder(&self, function: &FunctionId) -> Option<&ObjectKey> {
        self.holders.get(function)
    }

    /// ScaledObjects, HTTPScaledObjects and autoscalers that name a function.
    pub(super) fn claimants(&self, function: &FunctionId) -> impl Iterator<Item = &ObjectKey> {
        self.claimants.get(function).into_iter().flatten()
    }

    /// All functions that anybody names or that exist.
    pub(super) fn functions(&self) -> BTreeSet<FunctionId> {
        self.claimants
            .keys()
            .chain(self.holders.keys())
            .cloned()
            .collect()
    }

    /// ScaledObjects with a trigger that names an HTTP object.
    pub(super) fn namers(&self, http: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.namers.get(http).into_iter().flatten()
    }

    /// ScaledObjects and ScaledJobs with a trigger that names an authentication.
    pub(super) fn users_of(&self, authentication: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.authenticated.get(authentication).into_iter().flatten()
    }

    /// InterceptorRoutes that lead to a Service.
    pub(super) fn routes_to(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.routes.get(service).into_iter().flatten()
    }

    /// Services whose pods have these labels.
    pub(super) fn services_of(&self, namespace: &Arc<str>, labels: &Labels) -> Vec<ObjectKey> {
        let at = |pair| self.by_selector.get(&(namespace.clone(), pair));
        let found = pairs(labels).filter_map(at).flatten();
        let selects = |key: &&ObjectKey| match self.facts(key) {
            Some(Facts::Service(service)) => selects(service, labels),
            _ => false,
        };
        found.filter(selects).cloned().collect()
    }

    /// Functions whose pods a Service selects.
    pub(super) fn selected(&self, namespace: &Arc<str>, service: &ServiceFacts) -> Vec<FunctionId> {
        let sets =
            pairs(&service.selector).map(|pair| self.by_label.get(&(namespace.clone(), pair)));
        let mut smallest: Option<&Few<FunctionId>> = None;
        for set in sets {
            let Some(set) = set else { return Vec::new() };
            if smallest.is_none_or(|s| set.len() < s.len()) {
                smallest = Some(set);
            }
        }
        let is_selected = |id: &&FunctionId| {
            let facts = self.holder(id).and_then(|key| self.facts(key));
            matches!(facts, Some(Facts::Target(t)) if selects(service, &t.labels))
        };
        let all = smallest.into_iter().flatten();
        all.filter(is_selected).cloned().collect()
    }

    /// Functions to which a Service of this name leads: those that it selects; where there is no
    /// such Service, the Deployment of its name.
    pub(super) fn behind(&self, service: &ObjectKey) -> Vec<FunctionId> {
        match self.facts(service) {
            Some(Facts::Service(facts)) => self.selected(&service.namespace, facts),
            _ => {
                let id = FunctionId::new(&service.namespace, "Deployment", &service.name);
                Some(id)
                    .filter(|id| self.holder(id).is_some())
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Where a Service leads. Of several functions the one counts whose ScaledObject names `route`.
    pub(super) fn lead(&self, service: &ObjectKey, route: &ObjectKey) -> Lead {
        let mut found = self.behind(service);
        if found.len() > 1 {
            let named: BTreeSet<_> = self
                .namers(route)
                .filter_map(|key| self.facts(key)?.target())
                .collect();
            if found.iter().any(|id| named.contains(id)) {
                found.retain(|id| named.contains(id));
            }
        }
        match found.as_slice() {
            [one] => Lead::To(one.clone()),
            [first, second, ..] => Lead::Several(first.clone(), second.clone()),
            [] => Lead::Nowhere(match self.get(service) {
                Some(_) => format!("{service} selects nothing that can be scaled"),
                None => format!("{service} does not exist"),
            }),
        }
    }

    /// How many bytes of objects are kept.
    pub(super) fn bytes(&self) -> usize {
        let size = |entry: &Entry| entry.bytes.len() + entry.previous().map_or(0, <[u8]>::len);
        self.objects.values().map(|entry| size(entry)).sum()
    }
}

/// A Service by its name.
pub(super) fn service_key(namespace: &Arc<str>, name: &Arc<str>) -> ObjectKey {
    ObjectKey {
        kind: ObjectKind::Service,
        namespace: namespace.clone(),
        name: name.clone(),
    }
}

fn pairs(labels: &Labels) -> impl Iterator<Item = Box<str>> {
    labels
        .iter()
        .map(|(key, value)| format!("{key}={value}").into_boxed_str())
}

/// Both are sorted and small.
fn selects(service: &ServiceFacts, labels: &Labels) -> bool {
    let selector = &service.selector;
    !selector.is_empty() && selector.iter().all(|label| labels.contains(label))
}

fn set<K: Eq + std::hash::Hash, V: Ord + Clone>(
    map: &mut HashMap<K, Few<V>>,
    key: K,
    value: &V,
    is_added: bool,
) {
    if is_added {
        map.entry(key).or_default().insert(value.clone());
        return;
    }
    if let Some(values) = map.get_mut(&key) {
        values.remove(value);
        if values.is_empty() {
            map.remove(&key);
        }
    }
}
