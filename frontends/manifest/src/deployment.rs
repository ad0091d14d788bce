//! apps/v1 Deployment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeron_core::ObjectRef;

use crate::config::ConfigSet;
use crate::header::Header;
use crate::pod::PodSpec;
use crate::reader::{Fields, Scope};

/// A Deployment, read and checked.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Which object it is.
    pub object: ObjectRef,
    /// `spec.replicas`; 1 when it is not given.
    pub replicas: u32,
    /// Labels of its pods.
    pub pod_labels: BTreeMap<String, String>,
    /// What runs.
    pub pod: PodSpec,
    /// `progressDeadlineSeconds`.
    pub start_deadline: Duration,
    /// The manifest's folder.
    pub folder: Arc<PathBuf>,
}

impl Deployment {
    /// Reads a Deployment; `None`, with problems, when nothing could run.
    pub fn read(scope: &Scope<'_>, header: &Header, config: &ConfigSet) -> Option<Self> {
        let root = scope.root();
        let spec = root.fields("spec");
        spec.unsupported(&[
            "strategy",
            "minReadySeconds",
            "revisionHistoryLimit",
            "paused",
        ]);
        let most = i64::from(i32::MAX);
        let replicas = spec.integer("replicas", 0..=most).unwrap_or(1);
        let deadline = spec.seconds("progressDeadlineSeconds", 1..=most);
        let template = spec.fields("template");
        let pod_labels = pod_labels(&template);
        check_selector(&spec, &pod_labels);
        let pod = PodSpec::read(&template.fields("spec"), &header.object.namespace, config)?;
        Some(Self {
            object: header.object.clone(),
            replicas,
            pod_labels,
            pod,
            start_deadline: deadline.unwrap_or(Duration::from_secs(600)),
            folder: scope.document().folder.clone(),
        })
    }
}

fn pod_labels(template: &Fields<'_>) -> BTreeMap<String, String> {
    let metadata = template.fields("metadata");
    metadata.accept(&["name", "namespace", "annotations", "creationTimestamp"]);
    metadata.string_map("labels")
}

fn check_selector(spec: &Fields<'_>, pod_labels: &BTreeMap<String, String>) {
    let selector = spec.fields("selector");
    selector.unsupported(&["matchExpressions"]);
    for (key, value) in selector.string_map("matchLabels") {
        if pod_labels.get(&key) != Some(&value) {
            let message = format!(
                "{key}={value} is not among spec.template.metadata.labels: the selector must match the template"
            );
            selector.error("matchLabels", message);
        }
    }
}
