//! Traffic targets of a Service, and the routes that they become.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use zeron_core::route::{Forward, HostPattern, RouteAction, WeightedTarget};
use zeron_core::{FunctionId, ObjectRef, Route};
use zeron_manifest::{Fields, dns1035_label};

/// One entry of `spec.traffic`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficTarget {
    /// The revision; `None`: the latest one that is ready.
    pub revision_name: Option<String>,
    /// Its share, 0 to 100.
    pub percent: u32,
    /// A name of its own for this target.
    pub tag: Option<String>,
}

/// A traffic target whose revision is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionTarget {
    /// The revision.
    pub revision: String,
    /// Its share, 0 to 100.
    pub percent: u32,
    /// A name of its own for this target.
    pub tag: Option<String>,
}

/// Reads `traffic`. None given: all to the latest revision.
pub(crate) fn read(spec: &Fields<'_>, service: &str) -> Vec<TrafficTarget> {
    let nodes = spec.items("traffic");
    if nodes.is_empty() {
        return vec![TrafficTarget {
            revision_name: None,
            percent: 100,
            tag: None,
        }];
    }
    let mut tags = BTreeSet::new();
    let targets: Vec<TrafficTarget> = nodes
        .iter()
        .map(|node| target(&node.fields(), service, &mut tags))
        .collect();
    let sum: u32 = targets.iter().map(|t| t.percent).sum();
    if sum != 100 {
        spec.error("traffic", format!("percents sum to {sum}: must sum to 100"));
    }
    targets
}

fn target(fields: &Fields<'_>, service: &str, tags: &mut BTreeSet<String>) -> TrafficTarget {
    let revision_name = fields
        .string("revisionName")
        .filter(|name| !name.is_empty());
    if fields.get("configurationName").is_some() {
        fields.error(
            "configurationName",
            "is not allowed in a Service: use revisionName or latestRevision",
        );
    }
    match (fields.boolean("latestRevision"), revision_name) {
        (Some(true), Some(_)) => {
            fields.error("latestRevision", "true: must not stand beside revisionName")
        }
        (Some(false), None) => fields.error("latestRevision", "false: needs a revisionName"),
        (Some(true) | None, None) | (Some(false) | None, Some(_)) => {}
    }
    let tag = fields.string("tag").filter(|tag| !tag.is_empty());
    if let Some(tag) = tag {
        check_tag(fields, tag, service, tags);
    }
    TrafficTarget {
        revision_name: revision_name.map(str::to_owned),
        percent: fields.integer("percent", 0..=100).unwrap_or(0),
        tag: tag.map(str::to_owned),
    }
}

fn check_tag(fields: &Fields<'_>, tag: &str, service: &str, tags: &mut BTreeSet<String>) {
    if let Err(error) = dns1035_label(tag) {
        fields.error("tag", format!("{tag:?}: {error}"));
    } else if tag.len() + 1 + service.len() > 63 {
        fields.error(
            "tag",
            format!("{tag:?}: {tag}-{service} must be at most 63 characters"),
        );
    }
    if !tags.insert(tag.to_owned()) {
        fields.error(
            "tag",
            format!("{tag:?}: another target has this tag; tags must be unique"),
        );
    }
}

/// The routes of a Service: one for its own hosts, one per tag.
pub(crate) fn routes(
    service: &ObjectRef,
    domain: Option<&str>,
    targets: &[RevisionTarget],
) -> Vec<Route> {
    let weighted = |target: &RevisionTarget, weight| WeightedTarget {
        function: FunctionId::new(&service.namespace, "Revision", &target.revision),
        weight,
    };
    let share = targets
        .iter()
        .filter(|t| t.percent > 0)
        .map(|t| weighted(t, t.percent))
        .collect();
    let mut routes = vec![route(service, domain, &service.name, share, None)];
    let mut tags: Vec<&str> = targets.iter().filter_map(|t| t.tag.as_deref()).collect();
    tags.sort_unstable();
    tags.dedup();
    for tag in tags {
        let tagged = targets.iter().filter(|t| t.tag.as_deref() == Some(tag));
        let host = format!("{tag}-{}", service.name);
        routes.push(route(
            service,
            domain,
            &host,
            tagged.map(|t| weighted(t, 100)).collect(),
            Some(tag),
        ));
    }
    routes
        .retain(|route| matches!(&route.action, RouteAction::Forward(f) if !f.targets.is_empty()));
    routes
}

fn route(
    service: &ObjectRef,
    domain: Option<&str>,
    host: &str,
    targets: Vec<WeightedTarget>,
    tag: Option<&str>,
) -> Route {
    let namespace = &service.namespace;
    let public = domain.map(|domain| format!("{host}.{namespace}.{domain}"));
    let local = ["", ".svc", ".svc.cluster.local"].map(|end| format!("{host}.{namespace}{end}"));
    let forward = Forward {
        targets,
        ..Forward::default()
    };
    Route {
        source: service.clone(),
        hosts: public
            .into_iter()
            .chain(local)
            .map(HostPattern::Exact)
            .collect(),
        path_prefix: "/".to_owned(),
        port: None,
        headers: Vec::new(),
        action: RouteAction::Forward(forward),
        tag: tag.map(str::to_owned),
    }
}
