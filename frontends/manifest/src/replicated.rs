//! Any object of a cluster whose replicas are pods: what its pod template says, if it has one.

use std::collections::BTreeMap;
use std::time::Duration;

use zeron_core::ObjectRef;

use crate::config::ConfigSet;
use crate::document::Document;
use crate::header::Header;
use crate::platform::Platform;
use crate::pod::PodSpec;
use crate::problem::Problems;
use crate::reader::Scope;

/// An object with pods. The cluster has accepted it: nothing in it is judged here.
#[derive(Clone, Debug)]
pub struct Replicated {
    /// Which object it is.
    pub object: ObjectRef,
    /// `spec.replicas`, where it has that field.
    pub replicas: Option<u32>,
    /// Labels of its pods: those of its template, else those that its selector names.
    pub pod_labels: BTreeMap<String, String>,
    /// `spec.template.spec`.
    pub pod: Option<PodSpec>,
    /// `spec.progressDeadlineSeconds`.
    pub start_deadline: Option<Duration>,
}

impl Replicated {
    /// Reads an object of any kind.
    pub fn read(document: &Document, header: &Header, config: &ConfigSet) -> Self {
        let muted = Problems::muted(Platform::Cluster);
        let scope = Scope::new(document, &muted, Some(header.object.clone()));
        let root = scope.root();
        let spec = root.fields("spec");
        let most = i64::from(i32::MAX);
        let template = spec.optional_fields("template");
        let pod = template.as_ref().and_then(|template| {
            let pod = template.optional_fields("spec")?;
            PodSpec::read(&pod, &header.object.namespace, config)
        });
        let labels = template.map(|template| template.fields("metadata").string_map("labels"));
        let pod_labels = labels
            .filter(|labels| !labels.is_empty())
            .unwrap_or_else(|| spec.fields("selector").string_map("matchLabels"));
        Self {
            object: header.object.clone(),
            replicas: spec.integer("replicas", 0..=most),
            pod_labels,
            pod,
            start_deadline: spec.seconds("progressDeadlineSeconds", 1..=most),
        }
    }
}
