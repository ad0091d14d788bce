//! An object of the cluster as it was read, and its name.

use std::fmt;

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// The kinds that a take-over reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `keda.sh`.
    ScaledObject,
    /// `keda.sh`.
    ScaledJob,
    /// `keda.sh`.
    TriggerAuthentication,
    /// `keda.sh`.
    ClusterTriggerAuthentication,
    /// `eventing.keda.sh`.
    CloudEventSource,
    /// `eventing.keda.sh`.
    ClusterCloudEventSource,
    /// `http.keda.sh`.
    HttpScaledObject,
    /// `http.keda.sh`.
    InterceptorRoute,
    /// `autoscaling`.
    HorizontalPodAutoscaler,
    /// `apps`.
    Deployment,
    /// Core.
    Pod,
    /// Core.
    Service,
    /// Core, what EndpointSlices are mirrored from.
    Endpoints,
    /// `discovery.k8s.io`.
    EndpointSlice,
    /// `coordination.k8s.io`.
    Lease,
    /// `apiextensions.k8s.io`.
    CustomResourceDefinition,
    /// `admissionregistration.k8s.io`.
    ValidatingWebhookConfiguration,
    /// `apiregistration.k8s.io`.
    ApiService,
}

impl Kind {
    /// API version, kind and plural.
    pub const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ScaledObject => ("keda.sh/v1alpha1", "ScaledObject", "scaledobjects"),
            Self::ScaledJob => ("keda.sh/v1alpha1", "ScaledJob", "scaledjobs"),
            Self::TriggerAuthentication => (
                "keda.sh/v1alpha1",
                "TriggerAuthentication",
                "triggerauthentications",
            ),
            Self::ClusterTriggerAuthentication => (
                "keda.sh/v1alpha1",
                "ClusterTriggerAuthentication",
                "clustertriggerauthentications",
            ),
            Self::CloudEventSource => (
                "eventing.keda.sh/v1alpha1",
                "CloudEventSource",
                "cloudeventsources",
            ),
            Self::ClusterCloudEventSource => (
                "eventing.keda.sh/v1alpha1",
                "ClusterCloudEventSource",
                "clustercloudeventsources",
            ),
            Self::HttpScaledObject => (
                "http.keda.sh/v1alpha1",
                "HTTPScaledObject",
                "httpscaledobjects",
            ),
            Self::InterceptorRoute => (
                "http.keda.sh/v1beta1",
                "InterceptorRoute",
                "interceptorroutes",
            ),
            Self::HorizontalPodAutoscaler => (
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
            ),
            Self::Deployment => ("apps/v1", "Deployment", "deployments"),
            Self::Pod => ("v1", "Pod", "pods"),
            Self::Service => ("v1", "Service", "services"),
            Self::Endpoints => ("v1", "Endpoints", "endpoints"),
            Self::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
            Self::Lease => ("coordination.k8s.io/v1", "Lease", "leases"),
            Self::CustomResourceDefinition => (
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "customresourcedefinitions",
            ),
            Self::ValidatingWebhookConfiguration => (
                "admissionregistration.k8s.io/v1",
                "ValidatingWebhookConfiguration",
                "validatingwebhookconfigurations",
            ),
            Self::ApiService => ("apiregistration.k8s.io/v1", "APIService", "apiservices"),
        }
    }

    /// Its name in paths.
    pub(super) fn resource(self) -> ApiResource {
        let (api_version, kind, plural) = self.names();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names().1)
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its kind.
    pub kind: Kind,
    /// Empty for those of the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    /// Names an object.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// `Kind namespace/name`.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// An object as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which.
    pub kind: Kind,
    /// All of it.
    pub value: Value,
}

impl Object {
    /// The object `value`, which is of `kind`.
    pub fn new(kind: Kind, value: Value) -> Self {
        Self { kind, value }
    }

    /// A string at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer).and_then(Value::as_str)
    }

    /// A number at a JSON pointer.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.value.pointer(pointer).and_then(Value::as_u64)
    }

    /// A list at a JSON pointer; none when there is nothing.
    pub fn list(&self, pointer: &str) -> &[Value] {
        let list = self.value.pointer(pointer).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }

    /// Whether there is anything at a JSON pointer.
    pub fn has(&self, pointer: &str) -> bool {
        self.value.pointer(pointer).is_some_and(|v| !v.is_null())
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }

    /// `metadata.namespace`, empty without one.
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace").unwrap_or_default()
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> Option<&str> {
        self.text("/metadata/uid")
    }

    /// Which object this is.
    pub fn id(&self) -> ObjectName {
        ObjectName::new(self.kind, self.namespace(), self.name())
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.value
            .pointer("/metadata/annotations")?
            .get(key)?
            .as_str()
    }

    /// A label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.value.pointer("/metadata/labels")?.get(key)?.as_str()
    }

    /// It has a deletion timestamp.
    pub fn is_deleting(&self) -> bool {
        self.has("/metadata/deletionTimestamp")
    }

    /// Whether an owner reference names `kind` `name`.
    pub fn is_owned_by(&self, kind: Kind, name: &str) -> bool {
        self.list("/metadata/ownerReferences")
            .iter()
            .any(|owner| owner["kind"] == kind.names().1 && owner["name"] == name)
    }

    /// Its finalizers.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.list("/metadata/finalizers")
            .iter()
            .filter_map(Value::as_str)
    }
}
