//! Objects of any kind: applied, read, waited for. A kind is written `VERSION/KIND` or `GROUP/VERSION/KIND`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::Scope;
use kube::runtime::watcher::{self, Event, watch_object, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::Cluster;
use crate::until;
use crate::wait::last;

/// The kind of definitions of kinds.
pub(super) const CRD: &str = "apiextensions.k8s.io/v1/CustomResourceDefinition";

/// How long a condition on the cluster may take, on a machine with much else to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Kinds whose objects do not go before a finalizer was taken away.
const FINALIZED: [(&str, &str, &str, &str); 2] = [
    ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
    (
        "http.keda.sh",
        "v1alpha1",
        "HTTPScaledObject",
        "httpscaledobjects",
    ),
];

/// Who owns fields that tests apply.
const MANAGER: &str = "zeron-tests";

/// The address of a node that is ready.
pub(super) async fn ready_node(client: &Client) -> kube::Result<Option<IpAddr>> {
    let kind = GroupVersionKind::gvk("", "v1", "Node");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let nodes = api.list(&ListParams::default()).await?;
    let status = |node: &DynamicObject| node.data["status"].clone();
    let ready = nodes
        .iter()
        .map(status)
        .find(|status| condition(status, "Ready") == Some("True"));
    let addresses = ready.and_then(|status| status["addresses"].as_array().cloned());
    Ok(addresses.into_iter().flatten().find_map(|address| {
        let is_inside = address["type"] == "InternalIP";
        is_inside.then(|| address["address"].as_str()?.parse().ok())?
    }))
}

/// Whether a definition's kind can be used.
pub(super) fn is_served(crd: &Value) -> Option<()> {
    (condition(&crd["status"], "Established") == Some("True")).then_some(())
}

/// The status of a condition: `True`, `False` or `Unknown`.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = status["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == kind)?;
    found["status"].as_str()
}

fn parse(kind: &str) -> GroupVersionKind {
    let parts: Vec<_> = kind.split('/').collect();
    match parts[..] {
        [version, kind] => GroupVersionKind::gvk("", version, kind),
        [group, version, kind] => GroupVersionKind::gvk(group, version, kind),
        _ => panic!("{kind}: a kind is written VERSION/KIND or GROUP/VERSION/KIND"),
    }
}

/// Documents of a YAML text.
pub(super) fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .unwrap_or_else(|error| panic!("no YAML: {error}\n{text}"));
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("it came as JSON")
}

impl Cluster {
    /// The API of a kind, in a namespace where it has such.
    pub(super) fn of_kind(&self, namespace: Option<&str>, kind: &str) -> Api<DynamicObject> {
        let known = self
            .kinds
            .lock()
            .expect("no test panics in here")
            .get(kind)
            .cloned();
        let (resource, is_namespaced) = known.unwrap_or_else(|| {
            let wanted = parse(kind);
            // A definition is established a moment before it is served.
            let (resource, capabilities) = until(&format!("the cluster to serve {kind}"), || {
                let asked = kube::discovery::pinned_kind(&self.client, &wanted);
                let found = self.block_on(asked);
                if let Err(error) = &found {
                    eprintln!("the cluster has no {kind}: {error}");
                    last(Duration::from_millis(100));
                }
                found.ok()
            });
            let found = (resource, capabilities.scope == Scope::Namespaced);
            self.kinds
                .lock()
                .expect("no test panics in here")
                .insert(kind.to_owned(), found.clone());
            found
        });
        match namespace {
            Some(namespace) if is_namespaced => {
                Api::namespaced_with(self.client(), namespace, &resource)
            }
            None if is_namespaced => Api::default_namespaced_with(self.client(), &resource),
            _ => Api::all_with(self.client(), &resource),
        }
    }

    /// Applies documents; those that name no namespace go into `namespace`.
    pub(super) fn apply_in(&self, namespace: Option<&str>, text: &str) -> Vec<Value> {
        documents(text)
            .iter()
            .map(|document| self.apply_one(namespace, document))
            .collect()
    }

    pub(crate) fn apply_one(&self, namespace: Option<&str>, document: &Value) -> Value {
        self.try_apply(namespace, document)
            .unwrap_or_else(|error| panic!("{error}\n{document:#}"))
    }

    /// Applies one document, server-side.
    pub(super) fn try_apply(
        &self,
        namespace: Option<&str>,
        document: &Value,
    ) -> kube::Result<Value> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = format!(
            "{}/{}",
            text(&document["apiVersion"]),
            text(&document["kind"])
        );
        let own = document["metadata"]["namespace"].as_str();
        let api = self.of_kind(own.or(namespace), &kind);
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(document);
        let name = text(&document["metadata"]["name"]);
        let applied = self.block_on(api.patch(&name, &params, &patch))?;
        Ok(value(&applied))
    }

    pub(crate) fn get_in(&self, namespace: Option<&str>, kind: &str, name: &str) -> Option<Value> {
        let found = self.block_on(self.of_kind(namespace, kind).get_opt(name));
        found
            .unwrap_or_else(|error| panic!("cannot read {kind} {name}: {error}"))
            .as_ref()
            .map(value)
    }

    pub(crate) fn list_in(&self, namespace: Option<&str>, kind: &str, labels: &str) -> Vec<Value> {
        let params = ListParams::default().labels(labels);
        let found = self.block_on(self.of_kind(namespace, kind).list(&params));
        let found = found.unwrap_or_else(|error| panic!("cannot list {kind}: {error}"));
        found.iter().map(value).collect()
    }

    /// A merge patch of an object or, with `subresource`, of a part of it.
    pub(crate) fn patch_in(
        &self,
        namespace: Option<&str>,
        kind: &str,
        name: &str,
        subresource: Option<&str>,
        patch: &Value,
    ) -> Value {
        let (api, params) = (self.of_kind(namespace, kind), PatchParams::default());
        let patch = Patch::Merge(patch);
        let patched = match subresource {
            Some(part) => self.block_on(api.patch_subresource(part, name, &params, &patch)),
            None => self.block_on(api.patch(name, &params, &patch)),
        };
        value(&patched.unwrap_or_else(|error| panic!("cannot patch {kind} {name}: {error}")))
    }

    pub(super) fn delete_in(&self, namespace: Option<&str>, kind: &str, name: &str) {
        let api = self.of_kind(namespace, kind);
        match self.block_on(api.delete(name, &DeleteParams::background())) {
            Ok(_) => {}
            // What its owner took with it is gone already.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("cannot delete {kind} {name}: {error}"),
        }
    }

    /// False while a budget does not let the pod go.
    pub(super) fn evict_in(&self, namespace: &str, pod: &str) -> bool {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        match self.block_on(api.evict(pod, &EvictParams::default())) {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 429 => false,
            Err(error) => panic!("cannot evict {pod}: {error}"),
        }
    }

    /// Takes the finalizers of zeron's objects away; what cannot be done is left.
    pub(super) fn let_go_in(&self, namespace: &str) {
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        for (group, version, kind, plural) in FINALIZED {
            let kind = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, plural);
            let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &resource);
            self.block_on(async {
                let Ok(objects) = api.list(&ListParams::default()).await else {
                    return;
                };
                for object in objects {
                    let name = object.name_any();
                    drop(api.patch(&name, &PatchParams::default(), &patch).await);
                }
            });
        }
    }

    /// Waits, on a watch, until `look` finds something in the object; while it does not exist it is null.
    pub(crate) fn wait_in<T>(
        &self,
        namespace: Option<&str>,
        kind: &str,
        name: &str,
        what: &str,
        mut look: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        let api = self.of_kind(namespace, kind);
        let mut last = Value::Null;
        let found = self.block_on(tokio_timeout(async {
            let mut states = pin!(watch_object(api, name));
            while let Some(state) = states.next().await {
                // An interrupted watch begins anew by itself.
                let Ok(state) = state else { continue };
                last = state.as_ref().map_or(Value::Null, value);
                if let Some(found) = look(&last) {
                    return Some(found);
                }
            }
            None
        }));
        found.unwrap_or_else(|| {
            panic!("waited {PATIENCE:?} in vain for {kind} {name} {what}; it is\n{last:#}")
        })
    }

    /// Waits, on a watch, until `look` finds something in the list of objects with these labels.
    pub(super) fn wait_list_in<T>(
        &self,
        namespace: Option<&str>,
        kind: &str,
        labels: &str,
        what: &str,
        mut look: impl FnMut(&[Value]) -> Option<T>,
    ) -> T {
        let api = self.of_kind(namespace, kind);
        let mut last = Vec::new();
        let found = self.block_on(tokio_timeout(async {
            let mut known = BTreeMap::new();
            let mut events = pin!(watcher(api, watcher::Config::default().labels(labels)));
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Init) => {
                        // Nothing is known before all that is there was told.
                        known.clear();
                        continue;
                    }
                    Ok(Event::InitApply(object)) => {
                        known.insert(object.name_any(), value(&object));
                        continue;
                    }
                    Ok(Event::Apply(object)) => {
                        known.insert(object.name_any(), value(&object));
                    }
                    Ok(Event::Delete(object)) => {
                        known.remove(&object.name_any());
                    }
                    Ok(Event::InitDone) => {}
                    Err(_) => continue,
                }
                last = known.values().cloned().collect();
                if let Some(found) = look(&last) {
                    return Some(found);
                }
            }
            None
        }));
        found.unwrap_or_else(|| {
            panic!("waited {PATIENCE:?} in vain for {kind} ({labels}) {what}; there are\n{last:#?}")
        })
    }
}

async fn tokio_timeout<T>(work: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::time::timeout(PATIENCE, work).await.ok().flatten()
}
