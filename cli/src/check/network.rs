//! NetworkPolicies that would keep activators from pods.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::finding::{Finding, Level};
use super::reader::{Reader, items, text};
use super::selector::matches;
use super::workloads::{Labels, Workload, Workloads};

const AREA: &str = "network";

pub(super) async fn check(reader: &Reader, zeron: &str, workloads: &Workloads) -> Vec<Finding> {
    let policies = match reader
        .list("/apis/networking.k8s.io/v1/networkpolicies")
        .await
    {
        Ok(policies) => policies,
        Err(error) => return vec![Finding::unread(AREA, "NetworkPolicies", &error)],
    };
    judge(zeron, workloads, &policies)
}

/// One finding per namespace whose policies leave activators out.
pub(super) fn judge(zeron: &str, workloads: &Workloads, policies: &[Value]) -> Vec<Finding> {
    let labels = workloads.namespaces.get(zeron).cloned().unwrap_or_default();
    let mut shut: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for workload in &workloads.all {
        let names = keeping_out(workload, zeron, &labels, policies);
        if names.is_empty() {
            continue;
        }
        let (subjects, by) = shut.entry(&workload.namespace).or_default();
        subjects.push(&workload.subject);
        by.extend(
            names
                .into_iter()
                .filter(|n| !by.contains(n))
                .collect::<Vec<_>>(),
        );
    }
    if shut.is_empty() {
        let message = "no NetworkPolicy keeps activators from the pods of functions";
        return vec![Finding::new(Level::Ok, AREA, "NetworkPolicies", message)];
    }
    let finding = |(namespace, (subjects, by)): (&str, (Vec<&str>, Vec<&str>))| {
        let message = format!(
            "{} keep activators from the pods of {}",
            by.join(", "),
            subjects.join(", ")
        );
        let finding = Finding::new(
            Level::Wrong,
            AREA,
            format!("namespace {namespace}"),
            message,
        );
        finding.hint(format!("apply this:\n{}", policy(namespace, zeron)))
    };
    shut.into_iter().map(finding).collect()
}

/// Names of the policies that isolate its pods, when none of them lets activators in.
fn keeping_out<'p>(
    workload: &Workload,
    zeron: &str,
    zeron_labels: &Labels,
    policies: &'p [Value],
) -> Vec<&'p str> {
    let selects = |policy: &&Value| {
        let types = items(policy, "/spec/policyTypes");
        text(policy, "/metadata/namespace") == workload.namespace
            && (types.is_empty() || types.iter().any(|t| t == "Ingress"))
            && matches(&policy["spec"]["podSelector"], &workload.labels)
    };
    let isolating: Vec<&Value> = policies.iter().filter(selects).collect();
    let lets_in = |policy: &&Value| {
        let rules = items(policy, "/spec/ingress").iter();
        let mut peers = rules.map(|rule| items(rule, "/from"));
        peers.any(|from| {
            from.is_empty()
                || from
                    .iter()
                    .any(|peer| is_us(peer, workload, zeron, zeron_labels))
        })
    };
    if isolating.iter().any(lets_in) {
        return Vec::new();
    }
    isolating
        .iter()
        .map(|p| text(p, "/metadata/name"))
        .collect()
}

/// Whether a peer of a rule has our activators. Blocks of addresses may hold pods: nobody can tell.
fn is_us(peer: &Value, workload: &Workload, zeron: &str, zeron_labels: &Labels) -> bool {
    if peer.get("ipBlock").is_some() {
        return true;
    }
    let is_ours = match peer.get("namespaceSelector") {
        Some(selector) => {
            let mut labels = zeron_labels.clone();
            labels.insert("kubernetes.io/metadata.name".to_owned(), json!(zeron));
            matches(selector, &labels)
        }
        None => workload.namespace == zeron,
    };
    is_ours
        && peer
            .get("podSelector")
            .is_none_or(|selector| matches(selector, &activator()))
}

fn activator() -> Labels {
    let labels = [
        ("app.kubernetes.io/name", "zeron"),
        ("app.kubernetes.io/component", "activator"),
        ("app.kubernetes.io/part-of", "zeron"),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), json!(value)));
    Map::from_iter(labels)
}

/// The one that lets them in.
fn policy(namespace: &str, zeron: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: zeron-activators
  namespace: {namespace}
spec:
  podSelector: {{}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {zeron}
          podSelector:
            matchLabels:
              app.kubernetes.io/name: zeron
              app.kubernetes.io/component: activator"
    )
}
