//! What a ScaledObject scales.

use zeron_core::FunctionId;
use zeron_manifest::{Fields, Platform};

/// Which of KEDA's API groups an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `keda.sh/v1alpha1`.
    Keda2,
    /// `keda.k8s.io/v1alpha1`: KEDA 1.
    Keda1,
}

/// The object that a ScaledObject scales.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleTarget {
    /// `apps/v1` when none is given.
    pub api_version: String,
    /// `Deployment` when none is given.
    pub kind: String,
    /// Its name, in the ScaledObject's namespace.
    pub name: String,
    /// The container whose environment triggers may read; the first without one.
    pub container: Option<String>,
}

impl ScaleTarget {
    /// Whether it is a Knative Service.
    pub fn is_knative_service(&self) -> bool {
        self.kind == "Service" && self.api_version.starts_with("serving.knative.dev/")
    }

    /// The function whose replicas it holds, in `namespace`.
    pub fn function(&self, namespace: &str) -> FunctionId {
        FunctionId::of(&self.api_version, &self.kind, namespace, &self.name)
    }

    /// Reads `scaleTargetRef`.
    pub(crate) fn read(fields: &Fields<'_>, dialect: Dialect) -> Option<Self> {
        let (name, container) = match dialect {
            Dialect::Keda2 => (
                fields.required_string("name"),
                fields.string("envSourceContainerName"),
            ),
            Dialect::Keda1 => (
                fields.required_string("deploymentName"),
                fields.string("containerName"),
            ),
        };
        let (api_version, kind) = match dialect {
            Dialect::Keda2 => (fields.string("apiVersion"), fields.string("kind")),
            Dialect::Keda1 => (None, None),
        };
        let target = Self {
            api_version: or_default(api_version, "apps/v1"),
            kind: or_default(kind, "Deployment"),
            name: name?.to_owned(),
            container: container.filter(|c| !c.is_empty()).map(str::to_owned),
        };
        // In a cluster, whatever has a scale subresource can be scaled.
        if fields.scope().platform() == Platform::Cluster {
            return Some(target);
        }
        let is_deployment = target.kind == "Deployment" && target.api_version.starts_with("apps/");
        if !is_deployment && !target.is_knative_service() {
            let message = format!(
                "{} ({}) cannot be scaled here: apps/v1 Deployment and serving.knative.dev/v1 Service can",
                target.kind, target.api_version
            );
            fields.error("kind", message);
            return None;
        }
        Some(target)
    }
}

/// What is given, and not as an empty string.
pub(crate) fn or_default(given: Option<&str>, default: &str) -> String {
    given
        .filter(|text| !text.is_empty())
        .unwrap_or(default)
        .to_owned()
}
