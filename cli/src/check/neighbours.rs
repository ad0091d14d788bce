//! Who else scales in this cluster: KEDA, its HTTP add-on, Knative, HPAs on our targets.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::{Finding, Level};
use super::reader::{Reader, items, named, text};

const AREA: &str = "neighbours";
const LEASES: &str = "/apis/coordination.k8s.io/v1/leases";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";

pub(super) async fn check(reader: &Reader, namespace: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match reader.list(DEPLOYMENTS).await {
        Ok(deployments) => findings.extend(operators(&deployments)),
        Err(error) => findings.push(Finding::unread(AREA, "Deployments", &error)),
    }
    match reader.list(LEASES).await {
        Ok(leases) => findings.extend(held(&leases)),
        Err(error) => findings.push(Finding::unread(AREA, "leases", &error)),
    }
    let of = |group: &str, plural: &str| match namespace {
        Some(namespace) => format!("/apis/{group}/namespaces/{namespace}/{plural}"),
        None => format!("/apis/{group}/{plural}"),
    };
    let scaled = reader.list(&of("keda.sh/v1alpha1", "scaledobjects")).await;
    let autoscalers = reader
        .list(&of("autoscaling/v2", "horizontalpodautoscalers"))
        .await;
    match (scaled, autoscalers) {
        (Ok(scaled), Ok(autoscalers)) => findings.extend(foreign(&scaled, &autoscalers)),
        (Err(error), _) | (_, Err(error)) => {
            findings.push(Finding::unread(AREA, "HorizontalPodAutoscalers", &error));
        }
    }
    findings
}

/// Programs that run, by the labels and names of their Deployments.
pub(super) fn operators(deployments: &[Value]) -> Vec<Finding> {
    let runs = |names: &[&str]| {
        let is = |d: &&Value| {
            let replicas = d["spec"]["replicas"].as_u64().unwrap_or(1);
            names.contains(&text(d, "/metadata/name")) && replicas > 0
        };
        deployments.iter().find(is).map(named)
    };
    let mut findings = Vec::new();
    if let Some(name) = runs(&["keda-operator"]) {
        let message = "KEDA runs: with --manage=auto zeron acts on objects labelled \
                       zeron.dev/manage=true alone";
        let finding = Finding::new(Level::Note, AREA, name, message);
        findings.push(finding.hint("zeron import keda   # says what would differ"));
    }
    if let Some(name) = runs(&[
        "keda-add-ons-http-interceptor",
        "keda-add-ons-http-controller-manager",
    ]) {
        let message = "KEDA's HTTP add-on runs: its Services lead to its own interceptors";
        let finding = Finding::new(Level::Note, AREA, name, message);
        findings.push(finding.hint("zeron import http-add-on   # says what would differ"));
    }
    let knative = deployments.iter().any(|d| {
        text(d, "/metadata/namespace") == "knative-serving"
            && text(d, "/metadata/name") == "activator"
    });
    if knative {
        let message = "Knative Serving runs: its Services stay with it";
        findings.push(Finding::new(Level::Note, AREA, "knative-serving", message));
    }
    if findings.is_empty() {
        let message = "neither KEDA, nor its HTTP add-on, nor Knative Serving runs here";
        findings.push(Finding::new(Level::Ok, AREA, "operators", message));
    }
    findings
}

/// Each KEDA has one, in its own namespace.
fn held(leases: &[Value]) -> impl Iterator<Item = Finding> {
    let of_keda = leases
        .iter()
        .filter(|l| text(l, "/metadata/name") == "operator.keda.sh");
    of_keda.filter_map(|lease| {
        let holder = text(lease, "/spec/holderIdentity");
        let message = format!("KEDA's lease is held by {holder}");
        (!holder.is_empty()).then(|| Finding::new(Level::Note, AREA, named(lease), message))
    })
}

/// HPAs, not made by KEDA, on what a ScaledObject scales.
pub(super) fn foreign(scaled: &[Value], autoscalers: &[Value]) -> Vec<Finding> {
    let key = |object: &Value, name: &str, kind: &str| {
        let namespace = text(object, "/metadata/namespace");
        (namespace.to_owned(), kind.to_owned(), name.to_owned())
    };
    let mut targets = BTreeMap::new();
    for object in scaled {
        let reference = &object["spec"]["scaleTargetRef"];
        let kind = reference["kind"].as_str().unwrap_or("Deployment");
        targets.insert(key(object, text(reference, "/name"), kind), named(object));
    }
    let mut findings = Vec::new();
    for autoscaler in autoscalers {
        let reference = &autoscaler["spec"]["scaleTargetRef"];
        let target = key(
            autoscaler,
            text(reference, "/name"),
            text(reference, "/kind"),
        );
        let owners = items(autoscaler, "/metadata/ownerReferences");
        let is_keda = owners.iter().any(|o| o["kind"] == "ScaledObject");
        let Some(scaled) = targets.get(&target).filter(|_| !is_keda) else {
            continue;
        };
        let message = format!(
            "this HPA writes the same count as ScaledObject {scaled}: zeron leaves it alone"
        );
        let finding = Finding::new(Level::Wrong, AREA, named(autoscaler), message);
        let (namespace, _, _) = &target;
        let name = text(autoscaler, "/metadata/name");
        findings.push(finding.hint(format!("kubectl -n {namespace} delete hpa {name}")));
    }
    findings
}
