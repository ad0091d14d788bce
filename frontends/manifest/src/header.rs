//! Which object a document declares.

use std::collections::BTreeMap;

use serde_json::Value;
use zeron_core::ObjectRef;

use crate::document::Document;
use crate::name::{dns1123_label, dns1123_subdomain};
use crate::problem::Problems;
use crate::reader::Scope;

/// `apiVersion`, `kind` and `metadata` of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which object it is.
    pub object: ObjectRef,
    /// Its labels and annotations.
    pub meta: ObjectMeta,
}

/// Labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Fields that the API server writes: an exported manifest has them.
const WRITTEN_BY_SERVER: [&str; 10] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

impl Header {
    /// Reads a document's header; `None`, with problems, when it does not name an object.
    pub fn read(document: &Document, problems: &Problems) -> Option<Self> {
        let object = object_of(&document.value);
        let scope = Scope::new(document, problems, object.clone());
        if !document.value.is_object() {
            scope.error("", "a manifest must be a mapping");
            return None;
        }
        // The kind's own reader reports what else stands at the root.
        for name in ["apiVersion", "kind"] {
            match document.value.get(name) {
                Some(Value::String(text)) if !text.is_empty() => {}
                None | Some(Value::Null) => scope.error(name, "is missing"),
                Some(_) => scope.error(name, "must be a string"),
            }
        }
        let meta = read_meta(&scope);
        Some(Self {
            object: object?,
            meta: meta?,
        })
    }
}

/// The object, when everything that names it is there.
fn object_of(value: &Value) -> Option<ObjectRef> {
    let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    let meta = value.get("metadata")?;
    Some(ObjectRef {
        api_version: text(value.get("apiVersion")?)?,
        kind: text(value.get("kind")?)?,
        namespace: meta
            .get("namespace")
            .and_then(text)
            .unwrap_or_else(|| "default".to_owned()),
        name: text(meta.get("name")?)?,
    })
}

fn read_meta(scope: &Scope<'_>) -> Option<ObjectMeta> {
    let root = scope.root();
    // Only `metadata` is read here.
    let names: Vec<&str> = root.names().collect();
    root.accept(&names);
    let Some(fields) = root.optional_fields("metadata") else {
        scope.error("metadata", "is missing");
        return None;
    };
    fields.accept(&WRITTEN_BY_SERVER);
    fields.unsupported(&["generateName"]);
    let name = fields.required_string("name");
    if let Some(Err(error)) = name.map(dns1123_subdomain) {
        fields.error("name", format!("{:?}: {error}", name.unwrap_or_default()));
    }
    let namespace = fields.string("namespace");
    if let Some(Err(error)) = namespace.map(dns1123_label) {
        fields.error(
            "namespace",
            format!("{:?}: {error}", namespace.unwrap_or_default()),
        );
    }
    Some(ObjectMeta {
        labels: fields.string_map("labels"),
        annotations: fields.string_map("annotations"),
    })
}
