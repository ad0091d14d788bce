//! The parts of a Pod that are read, straight from the watch; the rest is skipped while parsing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawPod {
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: RawSpec,
    pub(crate) status: RawStatus,
}

impl kube::Resource for RawPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawSpec {
    pub(crate) node_name: Option<String>,
    pub(crate) containers: Vec<RawContainer>,
    pub(crate) init_containers: Vec<RawContainer>,
    pub(crate) readiness_gates: Vec<Skipped>,
}

/// Something of which only the presence counts.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Skipped(#[allow(dead_code, reason = "only its presence counts")] IgnoredAny);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawContainer {
    pub(crate) name: String,
    pub(crate) ports: Vec<RawPort>,
    pub(crate) readiness_probe: Option<RawProbe>,
    pub(crate) startup_probe: Option<RawProbe>,
    pub(crate) restart_policy: Option<String>,
    pub(crate) resources: RawResources,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawPort {
    pub(crate) name: Option<String>,
    pub(crate) container_port: u16,
    pub(crate) protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawResources {
    pub(crate) requests: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawProbe {
    pub(crate) tcp_socket: Option<RawTcp>,
    pub(crate) http_get: Option<RawHttp>,
    pub(crate) grpc: Option<RawGrpc>,
    pub(crate) initial_delay_seconds: Option<u32>,
    pub(crate) period_seconds: Option<u32>,
    pub(crate) timeout_seconds: Option<u32>,
    pub(crate) success_threshold: Option<u32>,
    pub(crate) failure_threshold: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawTcp {
    pub(crate) port: RawPortRef,
    pub(crate) host: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawHttp {
    pub(crate) port: RawPortRef,
    pub(crate) host: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) scheme: Option<String>,
    #[serde(default)]
    pub(crate) http_headers: Vec<RawHeader>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawHeader {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawGrpc {
    pub(crate) port: u16,
    pub(crate) service: Option<String>,
}

/// `IntOrString`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawPortRef {
    Number(u16),
    Name(String),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawStatus {
    pub(crate) phase: Option<String>,
    #[serde(rename = "podIP")]
    pub(crate) pod_ip: Option<String>,
    /// All of them, that one included.
    #[serde(rename = "podIPs")]
    pub(crate) pod_ips: Vec<RawPodIp>,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) nominated_node_name: Option<String>,
    pub(crate) start_time: Option<String>,
    pub(crate) conditions: Vec<RawCondition>,
    pub(crate) container_statuses: Vec<RawContainerStatus>,
    pub(crate) init_container_statuses: Vec<RawContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawPodIp {
    pub(crate) ip: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawCondition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) last_transition_time: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawContainerStatus {
    pub(crate) name: String,
    pub(crate) restart_count: u32,
    pub(crate) state: RawState,
    pub(crate) last_state: RawState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawState {
    pub(crate) waiting: Option<RawWaiting>,
    pub(crate) running: Option<Skipped>,
    pub(crate) terminated: Option<RawTerminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawWaiting {
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawTerminated {
    pub(crate) exit_code: i32,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) finished_at: Option<String>,
}

impl RawPod {
    /// A condition of this type.
    pub(crate) fn condition(&self, kind: &str) -> Option<&RawCondition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }
}
