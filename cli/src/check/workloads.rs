//! What is scaled here, and what its triggers refer to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::reader::{ReadError, Reader, items, named, text};

/// Labels of an object or of a pod.
pub(super) type Labels = Map<String, Value>;

/// A group and a plural.
pub(super) type Resource = (&'static str, &'static str);

/// An object that holds replicas.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) namespace: String,
    /// `namespace/name`.
    pub(super) subject: String,
    pub(super) resource: Resource,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
}

/// All of them that some object scales.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    pub(super) all: Vec<Workload>,
    /// Secrets that triggers refer to: namespace, name, and an object that does.
    pub(super) secrets: BTreeMap<(String, String), String>,
    pub(super) namespaces: BTreeMap<String, Labels>,
    /// What could not be read.
    pub(super) errors: Vec<(String, ReadError)>,
}

const KINDS: [(&str, &str); 2] = [
    ("Deployment", "deployments"),
    ("StatefulSet", "statefulsets"),
];

impl Workloads {
    pub(super) async fn read(reader: &Reader, namespace: Option<&str>) -> Self {
        let mut found = Self::default();
        let of = |group: &str, plural: &str| match namespace {
            Some(namespace) => format!("/apis/{group}/namespaces/{namespace}/{plural}"),
            None => format!("/apis/{group}/{plural}"),
        };
        let scaled = found
            .list(reader, &of("keda.sh/v1alpha1", "scaledobjects"))
            .await;
        let http = found
            .list(reader, &of("http.keda.sh/v1alpha1", "httpscaledobjects"))
            .await;
        let authentications = found
            .list(reader, &of("keda.sh/v1alpha1", "triggerauthentications"))
            .await;
        let scaled: Vec<Value> = scaled.into_iter().chain(http).collect();
        found.secrets = secrets(&authentications);
        let targets = targets(&scaled);
        for (kind, plural) in KINDS {
            let objects = found.list(reader, &of("apps/v1", plural)).await;
            let objects = objects
                .iter()
                .filter(|o| targets.contains(&target(o, kind)));
            found
                .all
                .extend(objects.map(|object| workload(object, plural)));
        }
        let namespaces = found.list(reader, "/api/v1/namespaces").await;
        let labels = |n: &Value| {
            (
                text(n, "/metadata/name").to_owned(),
                map(n, "/metadata/labels"),
            )
        };
        found.namespaces = namespaces.iter().map(labels).collect();
        found
    }

    async fn list(&mut self, reader: &Reader, path: &str) -> Vec<Value> {
        match reader.list(path).await {
            Ok(objects) => objects,
            Err(error) => {
                let kind = path.rsplit('/').next().unwrap_or(path);
                self.errors.push((kind.to_owned(), error));
                Vec::new()
            }
        }
    }

    /// Namespaces with functions, and what holds their replicas there.
    pub(super) fn places(&self) -> BTreeSet<(&str, Resource)> {
        self.all
            .iter()
            .map(|w| (w.namespace.as_str(), w.resource))
            .collect()
    }
}

/// A map of texts.
pub(super) fn map(value: &Value, path: &str) -> Labels {
    let found = value.pointer(path).and_then(Value::as_object);
    found.cloned().unwrap_or_default()
}

type Target = (String, String, String);

fn target(object: &Value, kind: &str) -> Target {
    let text = |path| text(object, path).to_owned();
    (
        text("/metadata/namespace"),
        kind.to_owned(),
        text("/metadata/name"),
    )
}

/// Namespace, kind and name of what is scaled.
pub(super) fn targets(scaled: &[Value]) -> BTreeSet<Target> {
    let target = |object: &Value| {
        let reference = &object["spec"]["scaleTargetRef"];
        let kind = reference["kind"].as_str().unwrap_or("Deployment");
        // `deployment` is the old name of HTTPScaledObjects' field.
        let name = reference["name"]
            .as_str()
            .or(reference["deployment"].as_str());
        let namespace = text(object, "/metadata/namespace").to_owned();
        Some((namespace, kind.to_owned(), name?.to_owned()))
    };
    scaled.iter().filter_map(target).collect()
}

/// Secrets of TriggerAuthentications.
pub(super) fn secrets(authentications: &[Value]) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for object in authentications {
        let namespace = text(object, "/metadata/namespace");
        for reference in items(object, "/spec/secretTargetRef") {
            let secret = (namespace.to_owned(), text(reference, "/name").to_owned());
            found.entry(secret).or_insert_with(|| named(object));
        }
    }
    found
}

fn workload(object: &Value, plural: &'static str) -> Workload {
    Workload {
        namespace: text(object, "/metadata/namespace").to_owned(),
        subject: named(object),
        resource: ("apps", plural),
        labels: map(object, "/spec/template/metadata/labels"),
        annotations: map(object, "/spec/template/metadata/annotations"),
    }
}
