//! Deployments and leases of KEDA and its HTTP add-on.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Performer, State};
use crate::takeover::error::TakeoverError;
use crate::takeover::marks::REPLICAS_BEFORE;
use crate::takeover::object::{Kind, Object, ObjectName};
use crate::takeover::read::Select;
use crate::takeover::survey::Part;

impl Performer {
    /// The count is remembered in the same write that takes it away.
    pub(super) async fn stop(
        &self,
        deployment: &ObjectName,
        replicas: u64,
    ) -> Result<(), TakeoverError> {
        let annotations = json!({ REPLICAS_BEFORE: replicas.to_string() });
        let patch = json!({
            "metadata": { "annotations": annotations },
            "spec": { "replicas": 0 },
        });
        self.patch(deployment, patch).await
    }

    pub(super) async fn start(
        &self,
        deployment: &ObjectName,
        replicas: u64,
    ) -> Result<(), TakeoverError> {
        let patch = json!({
            "metadata": { "annotations": { REPLICAS_BEFORE: null } },
            "spec": { "replicas": replicas },
        });
        self.patch(deployment, patch).await
    }

    pub(super) async fn is_available(&self, name: &ObjectName) -> Result<State, TakeoverError> {
        let Some(deployment) = self.cluster.get(name).await? else {
            return Ok(State::Waits("it does not exist".to_owned()));
        };
        let wanted = deployment.number("/spec/replicas").unwrap_or(1);
        let available = deployment.number("/status/availableReplicas").unwrap_or(0);
        let seen = deployment.number("/status/observedGeneration");
        if wanted == 0 {
            return Ok(State::Waits("it is scaled to 0: scale it up".to_owned()));
        }
        if available >= wanted && seen >= deployment.number("/metadata/generation") {
            return Ok(State::Done);
        }
        Ok(State::Waits(format!("{available} of {wanted} available")))
    }

    /// A holder whose pod does not exist any more cannot renew: its lease is let go for it, as it
    /// would have done itself. True once nobody holds it.
    pub(super) async fn release_lease(&self, name: &ObjectName) -> Result<bool, TakeoverError> {
        let Some(lease) = self.cluster.get(name).await? else {
            return Ok(true);
        };
        let holder = lease.text("/spec/holderIdentity").unwrap_or_default();
        // Pod and a random part, as Kubernetes' own leader election writes it.
        let Some((pod, _)) = holder.rsplit_once('_') else {
            return Ok(holder.is_empty());
        };
        let pod = ObjectName::new(Kind::Pod, &name.namespace, pod);
        if !self.are_all_stopped(name).await? || self.cluster.get(&pod).await?.is_some() {
            return Ok(false);
        }
        let patch = json!({
            "metadata": { "resourceVersion": lease.text("/metadata/resourceVersion") },
            "spec": { "holderIdentity": "" },
        });
        let api = self.cluster.api(Kind::Lease, &name.namespace);
        let patched = api
            .patch(&name.name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        match patched {
            Ok(_) => Ok(true),
            // Somebody wrote it meanwhile: it is alive after all.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(TakeoverError::object("release", name)(error)),
        }
    }

    /// Whether the Deployments that could hold `lease` exist and have no pod left, so that its
    /// holder was one of their pods.
    async fn are_all_stopped(&self, lease: &ObjectName) -> Result<bool, TakeoverError> {
        let part = if lease.name == crate::takeover::marks::KEDA_LEASE {
            Part::Operator
        } else {
            Part::HttpOperator
        };
        let select = Select::In(&lease.namespace);
        let deployments = self.cluster.list(Kind::Deployment, select).await?;
        let mut has_any = false;
        for deployment in deployments.iter().filter(|d| Part::of(d) == Some(part)) {
            has_any = true;
            let is_stopped = deployment.number("/spec/replicas") == Some(0);
            if !is_stopped || !self.pods_of(deployment).await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(has_any)
    }

    /// The pods that a Deployment selects.
    pub(super) async fn pods_of(&self, deployment: &Object) -> Result<Vec<Object>, TakeoverError> {
        let selector = selector(deployment, "/spec/selector/matchLabels");
        if selector.is_empty() {
            return Ok(Vec::new());
        }
        let select = Select::LabelledIn(deployment.namespace(), &selector);
        self.cluster.list(Kind::Pod, select).await
    }
}

/// A map of labels as a selector.
pub(super) fn selector(object: &Object, pointer: &str) -> String {
    let labels = object.value.pointer(pointer).and_then(|v| v.as_object());
    let pairs = labels.into_iter().flatten();
    let pairs = pairs.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Whether a pod's Ready condition is true and it is not on its way out.
pub(super) fn is_ready(pod: &Object) -> bool {
    let is_it = |c: &serde_json::Value| c["type"] == "Ready" && c["status"] == "True";
    !pod.is_deleting() && pod.list("/status/conditions").iter().any(is_it)
}
