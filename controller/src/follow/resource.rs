//! The kinds that are followed, as the API names them.

use std::sync::Arc;

use kube::api::ApiResource;
use kube::{Api, Client};

use super::raw::Raw;
use crate::projection::{ObjectKind, TargetKind};

/// A kind, and whether a data plane follows it.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) kind: ObjectKind,
    pub(super) api: ApiResource,
    pub(super) is_namespaced: bool,
}

impl Resource {
    fn new(kind: ObjectKind, plural: &str) -> Self {
        let is_namespaced = kind != ObjectKind::ClusterTriggerAuthentication;
        let api = api_resource(&kind, plural);
        Self {
            kind,
            api,
            is_namespaced,
        }
    }

    /// A kind whose objects hold replicas.
    pub(super) fn target(kind: TargetKind) -> Self {
        let plural = Arc::clone(&kind.plural);
        Self::new(ObjectKind::Target(Arc::new(kind)), &plural)
    }

    /// The API of one namespace, or of all.
    pub(super) fn of(&self, client: &Client, namespace: Option<&str>) -> Api<Raw> {
        match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.api),
            None => Api::all_with(client.clone(), &self.api),
        }
    }
}

/// Kinds that are listed and watched from the start.
pub(super) fn resources(reads_credentials: bool) -> Vec<Resource> {
    let mut resources = vec![
        Resource::target(TargetKind::deployment()),
        Resource::target(TargetKind::stateful_set()),
        Resource::new(ObjectKind::Service, "services"),
        Resource::new(ObjectKind::ScaledObject, "scaledobjects"),
        Resource::new(ObjectKind::HttpScaledObject, "httpscaledobjects"),
        Resource::new(ObjectKind::InterceptorRoute, "interceptorroutes"),
        Resource::new(
            ObjectKind::HorizontalPodAutoscaler,
            "horizontalpodautoscalers",
        ),
    ];
    if reads_credentials {
        resources.push(Resource::new(ObjectKind::ScaledJob, "scaledjobs"));
        resources.push(Resource::new(
            ObjectKind::TriggerAuthentication,
            "triggerauthentications",
        ));
        resources.push(Resource::new(
            ObjectKind::ClusterTriggerAuthentication,
            "clustertriggerauthentications",
        ));
    }
    resources
}

/// Kinds that are read by name.
pub(super) fn by_name(kind: &ObjectKind) -> Resource {
    let plural = match kind {
        ObjectKind::Secret => "secrets",
        _ => "configmaps",
    };
    Resource::new(kind.clone(), plural)
}

fn api_resource(kind: &ObjectKind, plural: &str) -> ApiResource {
    let (api_version, kind) = kind.api();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}
