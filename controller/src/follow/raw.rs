//! An object as it comes from the API, without what nobody here reads: much of what the API server
//! sends is `managedFields`.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Any object.
#[derive(Clone)]
pub(crate) struct Raw {
    /// Name, namespace and resource version only: the rest stands in `value`.
    meta: ObjectMeta,
    /// `metadata`, `spec`, `status` and `data`.
    pub(crate) value: Value,
}

/// What is read of an object's metadata.
const METADATA: [&str; 10] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "annotations",
    "ownerReferences",
];

#[derive(Deserialize)]
struct Wire {
    metadata: WireMetadata,
    spec: Option<Value>,
    status: Option<Value>,
    data: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMetadata {
    name: Option<Value>,
    namespace: Option<Value>,
    uid: Option<Value>,
    resource_version: Option<Value>,
    generation: Option<Value>,
    creation_timestamp: Option<Value>,
    deletion_timestamp: Option<Value>,
    labels: Option<Value>,
    annotations: Option<Value>,
    owner_references: Option<Value>,
}

impl WireMetadata {
    fn into_value(self) -> Value {
        let values = [
            self.name,
            self.namespace,
            self.uid,
            self.resource_version,
            self.generation,
            self.creation_timestamp,
            self.deletion_timestamp,
            self.labels,
            self.annotations,
            self.owner_references,
        ];
        object(METADATA.into_iter().zip(values))
    }
}

fn object<'n>(fields: impl Iterator<Item = (&'n str, Option<Value>)>) -> Value {
    let given = fields.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<String, Value>>())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let text = |value: &Option<Value>| Some(value.as_ref()?.as_str()?.to_owned());
        let meta = ObjectMeta {
            name: text(&wire.metadata.name),
            namespace: text(&wire.metadata.namespace),
            resource_version: text(&wire.metadata.resource_version),
            ..ObjectMeta::default()
        };
        let fields = [
            ("metadata", Some(wire.metadata.into_value())),
            ("spec", wire.spec),
            ("status", wire.status),
            ("data", wire.data),
        ];
        Ok(Self {
            meta,
            value: object(fields.into_iter()),
        })
    }
}

/// It may be a Secret.
impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw")
            .field("namespace", &self.meta.namespace)
            .field("name", &self.meta.name)
            .finish_non_exhaustive()
    }
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
