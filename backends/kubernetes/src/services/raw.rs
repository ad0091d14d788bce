//! The parts of a Service that are read, straight from the watch; the rest is skipped while parsing.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawService {
    pub(super) metadata: ObjectMeta,
    pub(super) spec: RawSpec,
    pub(super) status: RawStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawSpec {
    #[serde(rename = "clusterIPs")]
    pub(super) cluster_ips: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawStatus {
    pub(super) load_balancer: RawLoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawLoadBalancer {
    pub(super) ingress: Vec<RawIngress>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawIngress {
    pub(super) ip: Option<String>,
}

impl RawService {
    /// Every address that the cluster gave it, as text; `None` of a headless one is among them. Not `externalIPs`: its
    /// owner writes them unchecked, and would make addresses of others its own.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        let own = self.spec.cluster_ips.iter();
        let ingress = self.status.load_balancer.ingress.iter();
        own.chain(ingress.filter_map(|it| it.ip.as_ref()))
            .map(String::as_str)
    }
}

impl kube::Resource for RawService {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Service".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "services".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
