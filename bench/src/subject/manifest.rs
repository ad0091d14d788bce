//! Manifests of the functions that are measured. JSON documents, which are YAML too: nothing needs quoting.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

/// Many documents in one file stay quick to read; one file with 10,000 would not be how people do it.
const DOCUMENTS_PER_FILE: usize = 500;

/// A `serving.knative.dev/v1` Service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// Environment.
    pub(crate) env: Vec<(String, String)>,
    /// `containerConcurrency`; 0: no limit.
    pub(crate) concurrency: u32,
    /// Keys under `autoscaling.knative.dev/`.
    pub(crate) scaling: Vec<(&'static str, String)>,
}

impl Service {
    /// A service without limits, environment and annotations.
    pub(crate) fn new(name: impl Into<String>, command: Vec<String>) -> Self {
        Self {
            name: name.into(),
            command,
            env: Vec::new(),
            concurrency: 0,
            scaling: Vec::new(),
        }
    }

    /// Adds an annotation.
    pub(crate) fn scaling(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.scaling.push((key, value.into()));
        self
    }

    /// The host of its route.
    pub(crate) fn host(&self) -> String {
        format!("{}.default.localhost", self.name)
    }

    /// The document.
    pub(crate) fn document(&self) -> Value {
        let annotations = self
            .scaling
            .iter()
            .map(|(key, value)| (format!("autoscaling.knative.dev/{key}"), json!(value)));
        let annotations: serde_json::Map<String, Value> = annotations.collect();
        json!({
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": self.name},
            "spec": {"template": {
                "metadata": {"annotations": annotations},
                "spec": {
                    "containerConcurrency": self.concurrency,
                    "containers": [{"image": "bench", "command": self.command, "env": env(&self.env)}],
                },
            }},
        })
    }
}

fn env(pairs: &[(String, String)]) -> Value {
    pairs
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// Global settings of the autoscaler.
pub(crate) fn autoscaler_config(settings: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> = settings
        .iter()
        .map(|&(key, value)| (key.to_owned(), json!(value)))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "config-autoscaler", "namespace": "knative-serving"},
        "data": data,
    })
}

/// A Deployment without a port, and a ScaledObject that wakes it by Kafka lag.
#[cfg(feature = "kafka")]
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    /// Name of both objects, the topic and the consumer group.
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// Environment.
    pub(crate) env: Vec<(String, String)>,
    /// The brokers' addresses.
    pub(crate) brokers: String,
    /// Seconds.
    pub(crate) polling_interval: u32,
}

#[cfg(feature = "kafka")]
impl Consumer {
    /// The two documents. With `earliest` and no committed offset the lag is all that the topic holds.
    pub(crate) fn documents(&self) -> [Value; 2] {
        let labels = json!({"app": self.name});
        let container = json!({"name": "main", "image": "bench", "command": self.command, "env": env(&self.env)});
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container]},
            }},
        });
        let metadata = json!({
            "bootstrapServers": self.brokers, "topic": self.name, "consumerGroup": self.name,
            "lagThreshold": "1", "offsetResetPolicy": "earliest",
        });
        let scaled_object = json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": self.name},
            "spec": {
                "scaleTargetRef": {"name": self.name},
                "pollingInterval": self.polling_interval,
                "minReplicaCount": 0, "maxReplicaCount": 1,
                "triggers": [{"type": "kafka", "metadata": metadata}],
            },
        });
        [deployment, scaled_object]
    }
}

/// Writes `documents` into files of `folder`.
pub(crate) fn write(folder: &Path, documents: &[Value]) -> Result<()> {
    for (index, chunk) in documents.chunks(DOCUMENTS_PER_FILE).enumerate() {
        let mut text = String::new();
        for document in chunk {
            text.push_str("---\n");
            text.push_str(&document.to_string());
            text.push('\n');
        }
        std::fs::write(folder.join(format!("functions-{index:04}.yaml")), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_its_limit_environment_and_annotations() {
        let mut service = Service::new("f", vec!["/bin/x".to_owned()]).scaling("max-scale", "10");
        service.concurrency = 1;
        service.env = vec![("A".to_owned(), "b: c".to_owned())];
        let document = service.document();
        let template = &document["spec"]["template"];
        assert_eq!(template["spec"]["containerConcurrency"], 1);
        assert_eq!(template["spec"]["containers"][0]["env"][0]["value"], "b: c");
        assert_eq!(
            template["metadata"]["annotations"]["autoscaling.knative.dev/max-scale"],
            "10"
        );
        assert_eq!(service.host(), "f.default.localhost");
    }

    #[test]
    fn documents_are_spread_over_files() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &vec![json!({"kind": "X"}); DOCUMENTS_PER_FILE + 1],
        )
        .unwrap();
        let last = std::fs::read_to_string(folder.path().join("functions-0001.yaml")).unwrap();
        assert_eq!(last, "---\n{\"kind\":\"X\"}\n");
    }
}
