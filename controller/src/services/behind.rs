//! Whether a function is behind a Service's selector.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, FutureExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::ListParams;
use kube::{Api, Client};

/// Says what a selector leads to.
pub trait Behind: Send + Sync {
    /// Whether something that has replicas makes the pods that `selector` matches in `namespace`.
    fn has_function<'a>(
        &'a self,
        namespace: &'a str,
        selector: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<bool, kube::Error>>;
}

/// Asks the API server: Deployments and StatefulSets by their templates, other kinds by a pod that
/// some controller owns.
#[derive(Clone)]
pub struct Workloads {
    client: Client,
}

impl std::fmt::Debug for Workloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workloads").finish_non_exhaustive()
    }
}

impl Workloads {
    /// By this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn look(
        &self,
        namespace: &str,
        selector: &BTreeMap<String, String>,
    ) -> Result<bool, kube::Error> {
        let all = ListParams::default();
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let listed = deployments.list(&all).await?.items;
        let mut templates = listed
            .iter()
            .filter_map(|d| Some(&d.spec.as_ref()?.template));
        if templates.any(|template| makes(template, selector)) {
            return Ok(true);
        }
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), namespace);
        let listed = sets.list(&all).await?.items;
        let mut templates = listed
            .iter()
            .filter_map(|s| Some(&s.spec.as_ref()?.template));
        if templates.any(|template| makes(template, selector)) {
            return Ok(true);
        }
        let pairs: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let some = ListParams::default().labels(&pairs.join(",")).limit(1);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = pods.list(&some).await?.items;
        Ok(found.iter().any(|p| p.metadata.owner_references.is_some()))
    }
}

impl Behind for Workloads {
    fn has_function<'a>(
        &'a self,
        namespace: &'a str,
        selector: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<bool, kube::Error>> {
        self.look(namespace, selector).boxed()
    }
}

fn makes(template: &PodTemplateSpec, selector: &BTreeMap<String, String>) -> bool {
    let labels = template.metadata.as_ref().and_then(|m| m.labels.as_ref());
    let has = |(key, value): (&String, &String)| labels.is_some_and(|l| l.get(key) == Some(value));
    selector.iter().all(has)
}
