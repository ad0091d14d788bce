//! What a test declares a revision by.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Program};

/// The template of a Configuration or a Service: the example function, unless told otherwise.
#[derive(Clone, Debug, Default)]
pub struct Template {
    annotations: BTreeMap<String, String>,
    container: serde_json::Map<String, Value>,
    spec: serde_json::Map<String, Value>,
}

impl Template {
    /// The example function with nothing set, but a stable window of six seconds, the shortest there is.
    pub fn new() -> Self {
        Self::default().scaling("window", "6s")
    }

    /// An annotation `autoscaling.knative.dev/KEY`.
    #[must_use]
    pub fn scaling(self, key: &str, value: &str) -> Self {
        self.annotation(&format!("autoscaling.knative.dev/{key}"), value)
    }

    /// Any annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A field of the revision's spec, such as `containerConcurrency`.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.spec.insert(name.to_owned(), value);
        self
    }

    /// A field of its container, such as `args` or `readinessProbe`.
    #[must_use]
    pub fn container(mut self, name: &str, value: Value) -> Self {
        self.container.insert(name.to_owned(), value);
        self
    }

    pub(super) fn document(&self, cluster: &Cluster) -> Value {
        let mut container = self.container.clone();
        container
            .entry("image")
            .or_insert_with(|| json!(cluster.image(Program::Function)));
        container.insert("imagePullPolicy".to_owned(), json!("Never"));
        let mut spec = self.spec.clone();
        spec.insert("containers".to_owned(), json!([container]));
        json!({ "metadata": { "annotations": self.annotations }, "spec": spec })
    }
}
