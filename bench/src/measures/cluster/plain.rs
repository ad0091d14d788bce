//! Deployments that nobody scales: what functions are compared with.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::api::Api;
use super::namespace::{Kind, Namespace};
use super::pods::{LABEL, Pod};
use super::request::{Answered, ask, connect};
use super::watch::Watch;

/// Where the function's container listens.
pub(crate) const PORT: u16 = 8080;

/// A Deployment of the example function at zero.
pub(crate) fn deployment(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {LABEL: name}},
            "template": {
                "metadata": {"labels": {LABEL: name}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "function",
                        "image": image,
                        "imagePullPolicy": "Never",
                        "env": [{"name": "PORT", "value": PORT.to_string()}],
                        "ports": [{"containerPort": PORT}],
                    }],
                },
            },
        },
    })
}

/// Its Service.
pub(crate) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {LABEL: name}, "ports": [{"port": 80, "targetPort": PORT}]},
    })
}

impl Namespace {
    /// Makes Deployments at zero, and waits until their controller has seen them.
    pub(crate) fn deploy(&self, names: &[String], image: &str) -> Result<()> {
        let objects = names
            .iter()
            .map(|name| (Kind::Deployment, deployment(name, image)))
            .collect();
        self.create_all(objects)?;
        self.wait_for_all(
            Kind::Deployment,
            "Deployments are seen",
            names.len(),
            |object| object["status"]["observedGeneration"].is_u64(),
        )
    }
}

/// Gives Deployments at zero a replica each, all at once, and asks each at its pod as soon as that accepts.
pub(crate) async fn wake(
    api: &Api,
    namespace: &Namespace,
    watch: &Watch<Pod>,
    names: &[String],
    within: Duration,
) -> Result<Vec<Answered>> {
    let started = names.iter().map(|name| async move {
        api.scale(&namespace.name, name, 1).await?;
        let pod = watch.first(name, within).await?;
        let accepted = connect(pod.address, within).await?;
        ask(accepted.stream, name, within).await
    });
    try_join_all(started).await
}
