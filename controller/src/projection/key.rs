//! Which objects of a cluster there are for the projection.

use std::fmt;
use std::sync::Arc;

use zeron_core::{FunctionId, ObjectRef};

/// One object of a cluster. Cluster-scoped ones have an empty namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// The kinds that say something about functions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// keda.sh/v1alpha1.
    ScaledObject,
    /// keda.sh/v1alpha1.
    ScaledJob,
    /// keda.sh/v1alpha1.
    TriggerAuthentication,
    /// keda.sh/v1alpha1, cluster-scoped.
    ClusterTriggerAuthentication,
    /// http.keda.sh/v1alpha1.
    HttpScaledObject,
    /// http.keda.sh/v1beta1.
    InterceptorRoute,
    /// v1.
    Service,
    /// v1; only those that others refer to.
    ConfigMap,
    /// v1; only those that others refer to.
    Secret,
    /// autoscaling/v2: somebody else's autoscaler.
    HorizontalPodAutoscaler,
    /// What holds replicas.
    Target(Arc<TargetKind>),
}

/// A kind whose objects hold replicas and have a `/scale` subresource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKind {
    /// Group and version, such as `apps/v1`.
    pub api_version: Arc<str>,
    /// Such as `Deployment`.
    pub kind: Arc<str>,
    /// The resource's name in paths, such as `deployments`.
    pub plural: Arc<str>,
    /// Where the object has its count, such as `.spec.replicas` (`scale.specReplicasPath` of a
    /// CustomResourceDefinition).
    pub replicas_path: Arc<str>,
    /// Where its status has the selector of its pods as text, such as `.status.selector`
    /// (`scale.labelSelectorPath`); without one, `spec.selector` says it.
    pub selector_path: Option<Arc<str>>,
}

impl TargetKind {
    /// apps/v1 Deployment.
    pub fn deployment() -> Self {
        Self::apps("Deployment", "deployments")
    }

    /// apps/v1 StatefulSet.
    pub fn stateful_set() -> Self {
        Self::apps("StatefulSet", "statefulsets")
    }

    /// apps/v1 ReplicaSet.
    pub fn replica_set() -> Self {
        Self::apps("ReplicaSet", "replicasets")
    }

    fn apps(kind: &str, plural: &str) -> Self {
        Self {
            api_version: "apps/v1".into(),
            kind: kind.into(),
            plural: plural.into(),
            replicas_path: ".spec.replicas".into(),
            selector_path: None,
        }
    }

    /// The function whose replicas the object `name` holds.
    pub fn function(&self, namespace: &str, name: &str) -> FunctionId {
        FunctionId::of(&self.api_version, &self.kind, namespace, name)
    }
}

impl ObjectKind {
    /// Group, version and kind.
    pub fn api(&self) -> (&str, &str) {
        match self {
            Self::ScaledObject => ("keda.sh/v1alpha1", "ScaledObject"),
            Self::ScaledJob => ("keda.sh/v1alpha1", "ScaledJob"),
            Self::TriggerAuthentication => ("keda.sh/v1alpha1", "TriggerAuthentication"),
            Self::ClusterTriggerAuthentication => {
                ("keda.sh/v1alpha1", "ClusterTriggerAuthentication")
            }
            Self::HttpScaledObject => ("http.keda.sh/v1alpha1", "HTTPScaledObject"),
            Self::InterceptorRoute => ("http.keda.sh/v1beta1", "InterceptorRoute"),
            Self::Service => ("v1", "Service"),
            Self::ConfigMap => ("v1", "ConfigMap"),
            Self::Secret => ("v1", "Secret"),
            Self::HorizontalPodAutoscaler => ("autoscaling/v2", "HorizontalPodAutoscaler"),
            Self::Target(kind) => (&kind.api_version, &kind.kind),
        }
    }

    /// Whether its objects say what should be done, so that they are reported on.
    pub fn is_declaration(&self) -> bool {
        let is_scaling = matches!(
            self,
            Self::ScaledObject | Self::ScaledJob | Self::HttpScaledObject | Self::InterceptorRoute
        );
        is_scaling || self.is_authentication()
    }

    /// Whether its objects say where triggers have their secrets from.
    pub fn is_authentication(&self) -> bool {
        matches!(
            self,
            Self::TriggerAuthentication | Self::ClusterTriggerAuthentication
        )
    }
}

impl ObjectKey {
    /// Names an object.
    pub fn new(kind: ObjectKind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The function of a ScaledJob of this name: its work is done by Jobs.
    pub fn job(&self) -> FunctionId {
        let (api_version, kind) = ObjectKind::ScaledJob.api();
        FunctionId::of(api_version, kind, &self.namespace, &self.name)
    }

    /// The same in the words of the front ends.
    pub fn object_ref(&self) -> ObjectRef {
        let (api_version, kind) = self.kind.api();
        ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: match self.namespace.is_empty() {
                true => "default".to_owned(),
                false => self.namespace.to_string(),
            },
            name: self.name.to_string(),
        }
    }
}

/// `Kind namespace/name`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.api().1;
        match self.namespace.is_empty() {
            true => write!(f, "{kind} {}", self.name),
            false => write!(f, "{kind} {}/{}", self.namespace, self.name),
        }
    }
}
