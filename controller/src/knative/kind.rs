//! The kinds that are read and written here, as the API names them.

use std::sync::Arc;

use kube::api::ApiResource;
use zeron_frontend_knative::autoscaling::{AUTOSCALING_API, NETWORKING_API};

use crate::projection::{ObjectKey, ObjectKind, TargetKind};

/// A kind that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    PodAutoscaler,
    ServerlessService,
    Metric,
    Deployment,
    ConfigMap,
}

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
}

impl Key {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::PodAutoscaler,
        Self::ServerlessService,
        Self::Metric,
        Self::Deployment,
        Self::ConfigMap,
    ];

    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::PodAutoscaler => (AUTOSCALING_API, "PodAutoscaler", "podautoscalers"),
            Self::ServerlessService => (NETWORKING_API, "ServerlessService", "serverlessservices"),
            Self::Metric => (AUTOSCALING_API, "Metric", "metrics"),
            Self::Deployment => ("apps/v1", "Deployment", "deployments"),
            Self::ConfigMap => ("v1", "ConfigMap", "configmaps"),
        }
    }

    /// For a client.
    pub(super) fn resource(self) -> ApiResource {
        let (api_version, kind, plural) = self.names();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// An object, as the writer of statuses names it.
    pub(super) fn object(self, key: &Key) -> ObjectKey {
        let (api_version, kind, plural) = self.names();
        let kind = TargetKind {
            api_version: api_version.into(),
            kind: kind.into(),
            plural: plural.into(),
            replicas_path: "".into(),
            selector_path: None,
        };
        ObjectKey {
            kind: ObjectKind::Target(Arc::new(kind)),
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
        }
    }
}
