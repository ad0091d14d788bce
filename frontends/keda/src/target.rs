//! What a ScaledObject scales.

use zeron_manifest::Fields;

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
            api_version: api_version.unwrap_or("apps/v1").to_owned(),
            kind: kind.unwrap_or("Deployment").to_owned(),
            name: name?.to_owned(),
            container: container.filter(|c| !c.is_empty()).map(str::to_owned),
        };
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
