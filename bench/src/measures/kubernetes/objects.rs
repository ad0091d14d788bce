//! The objects that scenarios make.

use serde_json::{Value, json};

pub(super) use crate::measures::cluster::plain::{PORT, deployment, service};

/// Scales the Deployment `name` by requests for [`host`]; it stays up for long once it was woken.
pub(super) fn http_scaled_object(name: &str) -> Value {
    json!({
        "apiVersion": "http.keda.sh/v1alpha1",
        "kind": "HTTPScaledObject",
        "metadata": {"name": name, "labels": {"zeron.dev/manage": "true"}},
        "spec": {
            "hosts": [host(name)],
            "scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": name, "service": name, "port": 80,
            },
            "replicas": {"min": 0, "max": 1},
            "scaledownPeriod": 600,
        },
    })
}

/// Scales the Deployment `name` by the lag of a consumer group, one replica for each `lag`.
pub(super) fn kafka_scaled_object(name: &str, brokers: &str, lag: u32, most: u32) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "labels": {"zeron.dev/manage": "true"}},
        "spec": {
            "scaleTargetRef": {"name": name},
            "pollingInterval": 1,
            "cooldownPeriod": 300,
            "minReplicaCount": 0,
            "maxReplicaCount": most,
            "triggers": [{
                "type": "kafka",
                "metadata": {
                    "bootstrapServers": brokers,
                    "consumerGroup": name,
                    "topic": name,
                    "lagThreshold": lag.to_string(),
                    "offsetResetPolicy": "earliest",
                },
            }],
        },
    })
}

/// The host by which a function is asked.
pub(super) fn host(name: &str) -> String {
    format!("{name}.bench.example.com")
}
