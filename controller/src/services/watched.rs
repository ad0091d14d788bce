//! A Service as the watch keeps it: a few hundred bytes, and next to nothing without our marks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

use super::annotations::{ACTIVATOR, ADOPTED_FROM, HANDED_BACK, PORTS, SELECTOR, STATUS};

const KEPT: [&str; 5] = [ACTIVATOR, HANDED_BACK, PORTS, SELECTOR, STATUS];

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Service")]
pub(crate) struct WatchedService {
    pub(crate) meta: ObjectMeta,
    /// `None`: it has none of our marks.
    pub(crate) spec: Option<ServiceSpec>,
}

impl From<Service> for WatchedService {
    fn from(service: Service) -> Self {
        let Service { metadata, spec, .. } = service;
        let mut annotations = metadata.annotations.unwrap_or_default();
        // What an import took over is led by `alias`, whose selector this annotation keeps, too.
        let is_taken_over = annotations.contains_key(ADOPTED_FROM);
        annotations.retain(|key, _| KEPT.contains(&key.as_str()));
        let is_marked = !is_taken_over && annotations.keys().any(|key| key != HANDED_BACK);
        let meta = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            creation_timestamp: metadata.creation_timestamp,
            deletion_timestamp: metadata.deletion_timestamp,
            annotations: is_marked.then_some(annotations),
            ..ObjectMeta::default()
        };
        let spec = spec.filter(|_| is_marked);
        Self { meta, spec }
    }
}

impl WatchedService {
    /// Those of ours.
    pub(crate) fn annotations(&self) -> Cow<'_, BTreeMap<String, String>> {
        self.meta
            .annotations
            .as_ref()
            .map_or_else(Cow::default, Cow::Borrowed)
    }

    /// Whether there is anything to do, or to undo.
    pub(crate) fn is_marked(&self) -> bool {
        self.spec.is_some()
    }
}

impl Resource for WatchedService {
    type DynamicType = ();
    type Scope = <Service as Resource>::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        Service::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        Service::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        Service::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        Service::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
