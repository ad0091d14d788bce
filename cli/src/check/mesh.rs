//! Service meshes: pods that refuse connections from outside of the mesh.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::{Finding, Level};
use super::reader::{Reader, named, text};
use super::workloads::{Labels, Workload, Workloads};

const AREA: &str = "mesh";
const PEERS: &str = "/apis/security.istio.io/v1/peerauthentications";

pub(super) async fn check(reader: &Reader, zeron: &str, workloads: &Workloads) -> Vec<Finding> {
    match reader.list(PEERS).await {
        Ok(peers) => judge(zeron, workloads, &peers),
        Err(error) => vec![Finding::unread(AREA, "PeerAuthentications", &error)],
    }
}

pub(super) fn judge(zeron: &str, workloads: &Workloads, peers: &[Value]) -> Vec<Finding> {
    let empty = Labels::new();
    let labels = |namespace: &str| workloads.namespaces.get(namespace).unwrap_or(&empty);
    let in_mesh = |w: &&Workload| is_injected(labels(&w.namespace), &w.labels, &w.annotations);
    let meshed: BTreeSet<&str> = workloads
        .all
        .iter()
        .filter(in_mesh)
        .map(|w| w.namespace.as_str())
        .collect();
    let are_we = is_injected(labels(zeron), &empty, &empty);
    let mut findings = Vec::new();
    for namespace in &meshed {
        let strict = peers.iter().find(|peer| is_strict(peer, namespace));
        let subject = format!("namespace {namespace}");
        findings.push(match (strict, are_we) {
            (Some(strict), false) => Finding::new(
                Level::Wrong,
                AREA,
                subject,
                format!(
                    "PeerAuthentication {} wants mutual TLS, and activators are not in the mesh: pods refuse them",
                    named(strict)
                ),
            )
            .hint(advice(zeron)),
            (None, false) => Finding::new(
                Level::Note,
                AREA,
                subject,
                "its pods have a sidecar; activators dial them in plain text, which its mesh permits",
            ),
            (_, true) => {
                let message = "activators are in the mesh too, and dial pods by address";
                Finding::new(Level::Ok, AREA, subject, message)
            }
        });
    }
    if findings.is_empty() {
        let message = "no function is in a mesh";
        findings.push(Finding::new(Level::Ok, AREA, "sidecars", message));
    }
    findings
}

fn advice(zeron: &str) -> String {
    format!(
        "put the activators into the mesh: kubectl label namespace {zeron} istio-injection=enabled, \
         restart them, and let pods be reached by address; or see --mesh-compatibility-mode \
         (docs/kubernetes.md, Meshes)"
    )
}

fn is_injected(namespace: &Labels, labels: &Labels, annotations: &Labels) -> bool {
    let says = |map: &Labels, key: &str, value: &str| map.get(key).is_some_and(|v| v == value);
    let refuses = says(labels, "sidecar.istio.io/inject", "false")
        || says(annotations, "sidecar.istio.io/inject", "false")
        || says(annotations, "linkerd.io/inject", "disabled");
    let asks = says(namespace, "istio-injection", "enabled")
        || namespace.contains_key("istio.io/rev")
        || says(namespace, "linkerd.io/inject", "enabled")
        || says(labels, "sidecar.istio.io/inject", "true")
        || says(annotations, "linkerd.io/inject", "enabled");
    asks && !refuses
}

/// Of the namespace, or of the whole mesh.
fn is_strict(peer: &Value, namespace: &str) -> bool {
    let place = text(peer, "/metadata/namespace");
    let is_here = place == namespace || place == "istio-system";
    is_here && text(peer, "/spec/mtls/mode") == "STRICT"
}
