//! How much of Knative is in the cluster, and its removal.

use super::manifests::Manifests;
use super::{NAMESPACE, PATIENCE, images};
use crate::cluster::kubectl::Kubectl;
use crate::cluster::wait::until;

/// On its namespace: which manifests were installed.
const STAMP: &str = "zeron.dev/test-cluster";

/// The Deployments, each of a program of its name.
const PARTS: [&str; 4] = ["activator", "autoscaler", "controller", "webhook"];

/// Kinds of which objects come to be by people's hands; all others follow from them.
const KINDS: &str = "services.serving.knative.dev,routes.serving.knative.dev,configurations.serving.knative.dev,domainmappings.serving.knative.dev";

/// Kinds of each of its groups, to see whether they are served.
const SERVED: &str = "services.serving.knative.dev,podautoscalers.autoscaling.internal.knative.dev,serverlessservices.networking.internal.knative.dev,certificates.networking.internal.knative.dev,images.caching.internal.knative.dev";

/// An object that changes nothing, to see whether the webhook answers.
const ASKED: &str = "
apiVersion: serving.knative.dev/v1
kind: Configuration
metadata: {name: zeron-test-asked, namespace: default}
spec: {template: {spec: {containers: [{image: kind.local/none:1}]}}}
";

/// What is there.
#[derive(Debug)]
pub(super) enum Found {
    /// All of it, as the manifests have it.
    Whole,
    /// All of it, but these Deployments run something else.
    Replaced(Vec<&'static str>),
    /// Nothing, or an installation by other manifests.
    Other,
}

/// Looks what is there.
pub(super) fn found(kubectl: &Kubectl, manifests: &Manifests) -> anyhow::Result<Found> {
    let path = format!(
        "jsonpath={{.metadata.annotations.{}}}",
        STAMP.replace('.', "\\.")
    );
    let arguments = [
        "get",
        "namespace",
        NAMESPACE,
        "--ignore-not-found",
        "-o",
        &path,
    ];
    if kubectl.run(&arguments)? != manifests.stamp() {
        return Ok(Found::Other);
    }
    let deployed = deployed(kubectl)?;
    let is_ours = |part: &str| {
        let line = format!("{part} {} ", images::name(part, &manifests.tag));
        deployed.lines().any(|found| found.starts_with(&line))
    };
    let replaced: Vec<_> = PARTS.into_iter().filter(|part| !is_ours(part)).collect();
    Ok(if replaced.is_empty() {
        Found::Whole
    } else {
        Found::Replaced(replaced)
    })
}

/// A line for each Deployment: its name, its images, and how many of its pods are available of those it wants.
fn deployed(kubectl: &Kubectl) -> anyhow::Result<String> {
    let path = "jsonpath={range .items[*]}{.metadata.name} {.spec.template.spec.containers[*].image} {.metadata.generation}={.status.observedGeneration} {.spec.replicas}={.status.availableReplicas} {.spec.replicas}={.status.replicas}{\"\\n\"}{end}";
    kubectl.run(&["get", "deployments", "--namespace", NAMESPACE, "-o", path])
}

/// Whether each part runs, and nothing of an earlier one does.
pub(super) fn is_ready(kubectl: &Kubectl, manifests: &Manifests) -> anyhow::Result<Option<()>> {
    let deployed = deployed(kubectl)?;
    let is_ready = |part: &str| {
        let start = format!("{part} {} ", images::name(part, &manifests.tag));
        let line = deployed.lines().find_map(|line| line.strip_prefix(&start));
        line.is_some_and(|counts| {
            counts.split(' ').all(|pair| {
                pair.split_once('=')
                    .is_some_and(|(want, have)| want == have)
            })
        })
    };
    Ok(PARTS.into_iter().all(is_ready).then_some(()))
}

/// Whether objects of every group can be asked for.
pub(super) fn serves_kinds(kubectl: &Kubectl) -> bool {
    kubectl.run(&["get", SERVED, "--all-namespaces"]).is_ok()
}

/// Whether its webhook lets an object pass.
pub(super) fn admits(kubectl: &Kubectl) -> bool {
    let arguments = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    kubectl.run_with(&arguments, ASKED).is_ok()
}

/// Notes which manifests were installed.
pub(super) fn mark(kubectl: &Kubectl, manifests: &Manifests) -> anyhow::Result<()> {
    let stamp = format!("{STAMP}={}", manifests.stamp());
    let arguments = ["annotate", "namespace", NAMESPACE, "--overwrite", &stamp];
    kubectl.run(&arguments).map(drop)
}

/// Deletes Deployments, with what is not in their manifests.
pub(super) fn delete_deployments(kubectl: &Kubectl, names: &[&str]) -> anyhow::Result<()> {
    let mut arguments = vec!["delete", "deployments", "--namespace", NAMESPACE];
    arguments.extend(["--ignore-not-found", "--wait=false"]);
    arguments.extend(names);
    kubectl.run(&arguments).map(drop)
}

/// Removes every object of its kinds, then itself; nothing when there is nothing.
pub(super) fn remove(kubectl: &Kubectl, manifests: &Manifests) -> anyhow::Result<()> {
    delete(kubectl, &manifests.webhooks)?;
    if serves_kinds(kubectl) {
        let all = ["--all", "--all-namespaces", "--wait=false"];
        kubectl.run(&[&["delete", KINDS][..], &all].concat())?;
        until(PATIENCE, "objects of Knative's kinds to be gone", || {
            let left = kubectl.run(&["get", KINDS, "--all-namespaces", "-o", "name"])?;
            Ok(left.is_empty().then_some(()))
        })?;
    }
    delete(kubectl, &manifests.parts)?;
    delete(kubectl, &manifests.base)?;
    delete(kubectl, &manifests.definitions)?;
    until(PATIENCE, "Knative's namespace and kinds to be gone", || {
        let namespace = [
            "get",
            "namespace",
            NAMESPACE,
            "--ignore-not-found",
            "-o",
            "name",
        ];
        let is_gone = kubectl.run(&namespace)?.is_empty() && !has_definitions(kubectl)?;
        Ok(is_gone.then_some(()))
    })
}

fn has_definitions(kubectl: &Kubectl) -> anyhow::Result<bool> {
    let names = kubectl.run(&["get", "customresourcedefinitions", "-o", "name"])?;
    Ok(names.lines().any(|name| name.ends_with(".knative.dev")))
}

fn delete(kubectl: &Kubectl, manifests: &str) -> anyhow::Result<()> {
    let arguments = ["delete", "--ignore-not-found", "--wait=false", "-f", "-"];
    match kubectl.run_with(&arguments, manifests) {
        // Objects of kinds that are not served are not there.
        Err(error) if format!("{error}").contains("no matches for kind") => Ok(()),
        result => result.map(drop),
    }
}
