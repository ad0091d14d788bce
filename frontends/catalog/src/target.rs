//! What holds replicas: a Deployment of a manifest, or any object of a cluster that has pods.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeron_core::{FunctionId, ObjectRef};
use zeron_manifest::{Container, Deployment, PodSpec, Replicated};

/// Kubernetes' `progressDeadlineSeconds`.
const START_DEADLINE: Duration = Duration::from_secs(600);

/// An object whose replicas are scaled.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) id: FunctionId,
    pub(super) object: ObjectRef,
    /// `spec.replicas`; 1 when it is not given.
    pub(super) replicas: u32,
    pub(super) pod_labels: BTreeMap<String, String>,
    /// What runs, as far as the object says it.
    pub(super) pod: Option<PodSpec>,
    pub(super) start_deadline: Duration,
    /// The manifest's folder.
    pub(super) folder: Arc<PathBuf>,
}

impl Target {
    /// Its containers; none where it does not say what runs.
    pub(super) fn containers(&self) -> &[Container] {
        self.pod.as_ref().map_or(&[], |pod| &pod.containers)
    }

    /// Whether it is the Deployment of that name.
    pub(super) fn is_deployment(&self, namespace: &str, name: &str) -> bool {
        let object = &self.object;
        object.kind == "Deployment" && object.namespace == namespace && object.name == name
    }
}

impl From<Deployment> for Target {
    fn from(deployment: Deployment) -> Self {
        Self {
            id: id(&deployment.object),
            object: deployment.object,
            replicas: deployment.replicas,
            pod_labels: deployment.pod_labels,
            pod: Some(deployment.pod),
            start_deadline: deployment.start_deadline,
            folder: deployment.folder,
        }
    }
}

impl From<Replicated> for Target {
    fn from(found: Replicated) -> Self {
        Self {
            id: id(&found.object),
            object: found.object,
            replicas: found.replicas.unwrap_or(1),
            pod_labels: found.pod_labels,
            pod: found.pod,
            start_deadline: found.start_deadline.unwrap_or(START_DEADLINE),
            folder: Arc::default(),
        }
    }
}

fn id(object: &ObjectRef) -> FunctionId {
    FunctionId::of(
        &object.api_version,
        &object.kind,
        &object.namespace,
        &object.name,
    )
}
