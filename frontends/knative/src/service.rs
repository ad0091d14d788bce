//! serving.knative.dev/v1 Service.

use serde::{Deserialize, Serialize};
use zeron_core::{Function, ObjectRef, Route};
use zeron_manifest::{ConfigSet, Header, Scope, dns1035_label};

use crate::annotation::PREFIX;
use crate::config::AutoscalerConfig;
use crate::template::{RevisionTemplate, is_bookkeeping};
use crate::traffic::{self, RevisionTarget, TrafficTarget};

/// A Service, read and checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Which object it is.
    pub object: ObjectRef,
    /// What its next revision runs.
    pub template: RevisionTemplate,
    /// Who gets its requests; never empty.
    pub traffic: Vec<TrafficTarget>,
    /// It has no host in the public domain (`networking.knative.dev/visibility: cluster-local`).
    pub is_cluster_local: bool,
}

impl Service {
    /// Reads a Service; `None`, with problems, when nothing could run.
    pub fn read(
        scope: &Scope<'_>,
        header: &Header,
        config_set: &ConfigSet,
        config: &AutoscalerConfig,
    ) -> Option<Self> {
        let is_cluster_local = check_metadata(scope, header);
        let root = scope.root();
        let spec = root.fields("spec");
        let traffic = traffic::read(&spec, &header.object.name);
        if !spec.has("template") {
            spec.error("template", "is missing");
        }
        let template = spec.fields("template");
        let template = RevisionTemplate::read(&template, &header.object, config_set, config)?;
        Some(Self {
            object: header.object.clone(),
            template,
            traffic,
            is_cluster_local,
        })
    }

    /// The function that its template makes under the name `revision`.
    pub fn function(&self, revision: &str, config: &AutoscalerConfig) -> Function {
        self.template.function(&self.object, revision, config)
    }

    /// Its routes: `NAME.NAMESPACE.DOMAIN`, `TAG-NAME.NAMESPACE.DOMAIN` and the names that a
    /// cluster gives. Targets are those of [`traffic`](Self::traffic) with their revisions found;
    /// what has no target has no route.
    pub fn routes(&self, domain: &str, targets: &[RevisionTarget]) -> Vec<Route> {
        let domain = Some(domain).filter(|_| !self.is_cluster_local);
        traffic::routes(&self.object, domain, targets)
    }
}

/// Checks name, labels and annotations. Returns whether it is local to the cluster.
fn check_metadata(scope: &Scope<'_>, header: &Header) -> bool {
    let name = &header.object.name;
    if let Err(error) = dns1035_label(name) {
        scope.error("metadata.name", format!("{name:?}: {error}"));
    }
    for key in header.meta.annotations.keys() {
        let path = format!("metadata.annotations[{key}]");
        let is_knatives = key
            .split('/')
            .next()
            .is_some_and(|group| group.ends_with("knative.dev"));
        if key.starts_with(PREFIX) {
            scope.error(
                &path,
                "has no effect on the Service: put it under spec.template.metadata.annotations",
            );
        } else if is_knatives && !is_bookkeeping(key) {
            scope.without_effect(&path, "is not supported here and has no effect");
        }
    }
    match header
        .meta
        .labels
        .get("networking.knative.dev/visibility")
        .map(String::as_str)
    {
        Some("cluster-local") => true,
        Some(other) => {
            let message = format!("{other:?}: must be cluster-local, or be left out");
            scope.error(
                "metadata.labels[networking.knative.dev/visibility]",
                message,
            );
            false
        }
        None => false,
    }
}
