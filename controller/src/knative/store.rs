//! What was read of the cluster, by namespace and name.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::warn;
use zeron_backend_kubernetes::LabelSelector;
use zeron_backend_kubernetes::target::failure_of_status;
use zeron_core::StartFailure;
use zeron_frontend_knative::autoscaling::{
    Child, ConfigMapName, Metadata, Metric, PodAutoscaler, ServerlessService, ServingConfig,
};

use super::kind::{Key, Kind};

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) autoscalers: HashMap<Key, PodAutoscaler>,
    pub(super) services: HashMap<Key, ServerlessService>,
    pub(super) metrics: HashMap<Key, Metric>,
    pub(super) deployments: HashMap<Key, Deployment>,
    pub(super) config: Arc<ServingConfig>,
    /// Which PodAutoscalers scale a Deployment.
    scaled_by: HashMap<Key, BTreeSet<Key>>,
}

/// What is read of a Deployment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Deployment {
    pub(super) uid: Option<Arc<str>>,
    pub(super) resource_version: Option<Arc<str>>,
    pub(super) selector: Arc<LabelSelector>,
    pub(super) replicas: u32,
    pub(super) failure: Option<StartFailure>,
    pub(super) is_deleting: bool,
}

/// Whose PodAutoscalers a change concerns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Concerned {
    Nobody,
    These(BTreeSet<Key>),
    All,
}

impl Concerned {
    fn one(key: Key) -> Self {
        Self::These(BTreeSet::from([key]))
    }
}

impl Store {
    /// Takes an object over. One that cannot be read counts as it was before.
    pub(super) fn upsert(&mut self, kind: Kind, key: Key, object: Value) -> Concerned {
        match kind {
            Kind::PodAutoscaler => {
                let Some(read) = read::<PodAutoscaler>(kind, &key, object) else {
                    return Concerned::Nobody;
                };
                self.forget_target(&key);
                let target = target_key(&read);
                self.scaled_by
                    .entry(target)
                    .or_default()
                    .insert(key.clone());
                self.autoscalers.insert(key.clone(), read);
                Concerned::one(key)
            }
            Kind::ServerlessService => {
                if let Some(mut read) = read::<ServerlessService>(kind, &key, object) {
                    trim(&mut read.metadata);
                    keep(&mut self.services, key.clone(), read);
                }
                Concerned::one(key)
            }
            Kind::Metric => {
                if let Some(mut read) = read::<Metric>(kind, &key, object) {
                    trim(&mut read.metadata);
                    keep(&mut self.metrics, key.clone(), read);
                }
                Concerned::one(key)
            }
            Kind::Deployment => {
                match deployment(&object) {
                    Some(read) => drop(self.deployments.insert(key.clone(), read)),
                    // Without knowing its pods nothing can be said of it, nor done to it.
                    None => drop(self.deployments.remove(&key)),
                }
                self.users(&key)
            }
            Kind::ConfigMap => self.configure(&key, &object),
        }
    }

    /// Takes over what a write answered, ahead of the watch. An answer to a change may be later than
    /// the watch's word that the object is gone: then it says nothing.
    pub(super) fn answered(&mut self, kind: Kind, key: &Key, is_new: bool, object: Value) {
        let is_known = match kind {
            Kind::ServerlessService => self.services.contains_key(key),
            Kind::Metric => self.metrics.contains_key(key),
            Kind::PodAutoscaler | Kind::Deployment | Kind::ConfigMap => false,
        };
        if is_new || is_known {
            self.upsert(kind, key.clone(), object);
        }
    }

    /// An object is gone.
    pub(super) fn delete(&mut self, kind: Kind, key: &Key) -> Concerned {
        match kind {
            Kind::PodAutoscaler => {
                self.forget_target(key);
                self.autoscalers.remove(key);
                Concerned::one(key.clone())
            }
            Kind::ServerlessService => {
                self.services.remove(key);
                Concerned::one(key.clone())
            }
            Kind::Metric => {
                self.metrics.remove(key);
                Concerned::one(key.clone())
            }
            Kind::Deployment => {
                self.deployments.remove(key);
                self.users(key)
            }
            // Knative's webhook lets nobody delete them; what they said last holds.
            Kind::ConfigMap => Concerned::Nobody,
        }
    }

    /// What a complete list of `namespace` (`None`: of all) does not have is gone.
    pub(super) fn absent(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        listed: &HashSet<Key>,
    ) -> Vec<Key> {
        let is_gone =
            |key: &&Key| namespace.is_none_or(|n| *key.namespace == *n) && !listed.contains(*key);
        match kind {
            Kind::PodAutoscaler => self.autoscalers.keys().filter(is_gone).cloned().collect(),
            Kind::ServerlessService => self.services.keys().filter(is_gone).cloned().collect(),
            Kind::Metric => self.metrics.keys().filter(is_gone).cloned().collect(),
            Kind::Deployment => self.deployments.keys().filter(is_gone).cloned().collect(),
            Kind::ConfigMap => Vec::new(),
        }
    }

    /// The Deployment that a PodAutoscaler scales; Knative's revisions have no other targets.
    pub(super) fn target(&self, autoscaler: &PodAutoscaler) -> Option<(Key, &Deployment)> {
        let target = &autoscaler.spec.scale_target_ref;
        if target.kind != "Deployment" || !target.api_version.starts_with("apps/") {
            return None;
        }
        let key = target_key(autoscaler);
        let deployment = self.deployments.get(&key)?;
        Some((key, deployment))
    }

    fn users(&self, deployment: &Key) -> Concerned {
        match self.scaled_by.get(deployment) {
            Some(users) => Concerned::These(users.clone()),
            None => Concerned::Nobody,
        }
    }

    fn forget_target(&mut self, autoscaler: &Key) {
        let Some(target) = self.autoscalers.get(autoscaler).map(target_key) else {
            return;
        };
        if let Some(users) = self.scaled_by.get_mut(&target) {
            users.remove(autoscaler);
            if users.is_empty() {
                self.scaled_by.remove(&target);
            }
        }
    }

    fn configure(&mut self, key: &Key, object: &Value) -> Concerned {
        let Some(name) = ConfigMapName::of(&key.name) else {
            return Concerned::Nobody;
        };
        let data = object.get("data").cloned().unwrap_or_default();
        let data: BTreeMap<String, String> = serde_json::from_value(data).unwrap_or_default();
        let mut config = ServingConfig::clone(&self.config);
        for problem in config.update(name, &data) {
            let config_map = name.as_str();
            match problem.is_without_effect {
                true => tracing::debug!(config_map, key = problem.key, %problem, "passed over"),
                false => {
                    warn!(config_map, key = problem.key, %problem, "refused: what held holds on")
                }
            }
        }
        if config == *self.config {
            return Concerned::Nobody;
        }
        self.config = Arc::new(config);
        Concerned::All
    }
}

/// A newer version takes the place of an older one; a late echo of an older one does not.
fn keep<C: Child>(objects: &mut HashMap<Key, C>, key: Key, read: C) {
    let new = read.metadata();
    let known = objects.get(&key).map(Child::metadata);
    let is_stale = known.is_some_and(|known| {
        let versions = (&new.resource_version, &known.resource_version);
        known.uid == new.uid && is_older(versions.0.as_deref(), versions.1.as_deref())
    });
    if !is_stale {
        objects.insert(key, read);
    }
}

/// Versions of one object are numbers that grow; of others nothing can be said.
fn is_older(a: Option<&str>, b: Option<&str>) -> bool {
    let number = |text: Option<&str>| text?.parse::<u64>().ok();
    matches!((number(a), number(b)), (Some(a), Some(b)) if a < b)
}

fn read<T: DeserializeOwned>(kind: Kind, key: &Key, object: Value) -> Option<T> {
    match serde_json::from_value(object) {
        Ok(read) => Some(read),
        Err(error) => {
            let (namespace, name) = (&key.namespace, &key.name);
            warn!(?kind, %namespace, %name, %error, "object passed over");
            None
        }
    }
}

/// Of a child nobody reads them: they are its PodAutoscaler's.
fn trim(metadata: &mut Metadata) {
    metadata.labels = BTreeMap::new();
    metadata.annotations = BTreeMap::new();
}

fn target_key(autoscaler: &PodAutoscaler) -> Key {
    let target = &autoscaler.spec.scale_target_ref.name;
    Key::new(&autoscaler.metadata.namespace, target)
}

/// `None`: its selector is none that can be read.
fn deployment(object: &Value) -> Option<Deployment> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).map(Arc::from);
    let selector = LabelSelector::from_json(object.pointer("/spec/selector")?).ok()?;
    let replicas = object.pointer("/spec/replicas").and_then(Value::as_u64);
    Some(Deployment {
        uid: text("/metadata/uid"),
        resource_version: text("/metadata/resourceVersion"),
        selector: Arc::new(selector),
        // The API server's own default.
        replicas: replicas.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        failure: object.get("status").and_then(failure_of_status),
        is_deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_whose_pods_are_not_known_is_none() {
        let (mut store, key) = (Store::default(), Key::new("ns", "rev-deployment"));
        let with = |selector: Value| json!({ "spec": { "replicas": 2, "selector": selector } });
        let known = with(json!({ "matchLabels": { "serving.knative.dev/revisionUID": "u" } }));
        store.upsert(Kind::Deployment, key.clone(), known);
        assert_eq!(store.deployments[&key].replicas, 2);
        let unknown = with(json!({ "matchExpressions": [{ "key": "a", "operator": "?" }] }));
        store.upsert(Kind::Deployment, key.clone(), unknown);
        assert!(store.deployments.is_empty());
    }

    #[test]
    fn an_answer_brings_back_nothing_that_is_gone() {
        let (mut store, key) = (Store::default(), Key::new("ns", "rev"));
        let object = json!({
            "metadata": { "name": "rev", "namespace": "ns", "uid": "u", "resourceVersion": "7" },
            "spec": { "stableWindow": 1, "panicWindow": 1, "scrapeTarget": "rev-private" },
        });
        store.answered(Kind::Metric, &key, true, object.clone());
        assert!(store.metrics.contains_key(&key));
        store.delete(Kind::Metric, &key);
        store.answered(Kind::Metric, &key, false, object);
        assert!(store.metrics.is_empty());
    }
}
