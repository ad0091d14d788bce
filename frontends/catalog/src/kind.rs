//! Which kinds of objects there are.

use zeron_core::ObjectRef;

/// A kind that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Secret,
    ConfigMap,
    CoreService,
    Deployment,
    KnativeService,
    ScaledObject,
    OldScaledObject,
    TriggerAuthentication,
    HttpScaledObject,
    InterceptorRoute,
    ScaledJob,
    /// Any kind of a cluster that no front end has: it may hold replicas.
    Other,
    /// It means nothing on one machine, and nothing is lost by that.
    Irrelevant,
}

/// Why an object is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KindError {
    /// The kind has no effect here.
    Unsupported,
    /// The kind is read, in this version.
    OtherVersion(&'static str),
}

const KINDS: [(&str, &str, Kind); 14] = [
    ("v1", "Secret", Kind::Secret),
    ("v1", "ConfigMap", Kind::ConfigMap),
    ("v1", "Service", Kind::CoreService),
    ("v1", "Namespace", Kind::Irrelevant),
    ("apps/v1", "Deployment", Kind::Deployment),
    ("serving.knative.dev/v1", "Service", Kind::KnativeService),
    ("keda.sh/v1alpha1", "ScaledObject", Kind::ScaledObject),
    ("keda.sh/v1alpha1", "ScaledJob", Kind::ScaledJob),
    (
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        Kind::TriggerAuthentication,
    ),
    (
        "keda.sh/v1alpha1",
        "ClusterTriggerAuthentication",
        Kind::TriggerAuthentication,
    ),
    (
        "keda.k8s.io/v1alpha1",
        "ScaledObject",
        Kind::OldScaledObject,
    ),
    (
        "keda.k8s.io/v1alpha1",
        "TriggerAuthentication",
        Kind::TriggerAuthentication,
    ),
    (
        "http.keda.sh/v1alpha1",
        "HTTPScaledObject",
        Kind::HttpScaledObject,
    ),
    (
        "http.keda.sh/v1beta1",
        "InterceptorRoute",
        Kind::InterceptorRoute,
    ),
];

impl Kind {
    /// The kind of an object of a cluster. All that it has accepted is read.
    pub(super) fn in_cluster(object: &ObjectRef) -> Self {
        match Self::of(object) {
            Ok(Self::Deployment | Self::KnativeService) | Err(_) => Self::Other,
            Ok(kind) => kind,
        }
    }

    pub(super) fn of(object: &ObjectRef) -> Result<Self, KindError> {
        let of_kind = || KINDS.iter().filter(|(_, kind, _)| *kind == object.kind);
        if let Some((_, _, kind)) = of_kind().find(|(version, _, _)| *version == object.api_version)
        {
            return Ok(*kind);
        }
        let same_group = |(version, _, _): &&(&'static str, &str, Kind)| {
            group(version) == group(&object.api_version)
        };
        Err(of_kind()
            .find(same_group)
            .map_or(KindError::Unsupported, |found| {
                KindError::OtherVersion(found.0)
            }))
    }
}

/// The API group; empty for the core one.
pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
