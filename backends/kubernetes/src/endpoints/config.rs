//! Who watches, how replicas are asked, and what has to be known of a revision.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeron_core::FunctionId;
use zeron_core::workload::{ProbeCheck, ReadinessProbe};

/// Settings of the watch of Endpoints.
#[derive(Clone, Debug)]
pub struct EndpointsConfig {
    /// Our own address, by which the Endpoints of public Services name us (`POD_IP`).
    pub own_address: IpAddr,
    /// Whether pods are reached by their own addresses.
    pub mesh: MeshCompatibility,
    /// `enable-mesh-pod-addressability`: probes too go by the host of the private Service.
    pub has_passthrough: bool,
    /// Until a probe counts as unanswered (`PROBE_TIMEOUT`).
    pub probe_timeout: Duration,
    /// Between probes of a replica that takes long to start (`PROBE_FREQUENCY`); at first they come
    /// faster.
    pub probe_period: Duration,
    /// First pause after a failed list or watch; doubles, with jitter.
    pub back_off: Duration,
    /// Longest such pause.
    pub max_back_off: Duration,
}

impl EndpointsConfig {
    /// Knative's own timing: 300 ms, 200 ms; pods are reached unless a mesh refuses it.
    pub fn new(own_address: IpAddr) -> Self {
        Self {
            own_address,
            mesh: MeshCompatibility::default(),
            has_passthrough: false,
            probe_timeout: Duration::from_millis(300),
            probe_period: Duration::from_millis(200),
            back_off: Duration::from_millis(100),
            max_back_off: Duration::from_secs(5),
        }
    }

    /// How a queue-proxy of a revision is asked whether it is ready.
    pub(super) fn probe(&self, id: &FunctionId) -> ReadinessProbe {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = vec![
            header("K-Network-Probe", "queue"),
            header("User-Agent", "Knative-Activator-Probe"),
        ];
        if self.has_passthrough {
            let host = format!("{}-private.{}", id.name(), id.namespace());
            headers.push(header("Host", &host));
            headers.push(header("K-Passthrough-Lb", "true"));
        }
        ReadinessProbe {
            check: ProbeCheck::HttpBody {
                path: "/healthz".to_owned(),
                headers,
                body: "queue".to_owned(),
            },
            period: Some(self.probe_period),
            timeout: self.probe_timeout,
            ..ReadinessProbe::default()
        }
    }
}

/// `mesh-compatibility-mode` of config-network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeshCompatibility {
    /// By their addresses, unless they refuse that and their Service does not.
    #[default]
    Auto,
    /// By their Service only.
    Enabled,
    /// By their addresses only.
    Disabled,
}

/// What has to be known of a revision to find and to use its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionTarget {
    /// `(namespace, "Revision", name)`.
    pub id: FunctionId,
    /// It speaks HTTP/2 (`h2c`): its ports are named `http2`, else `http`.
    pub is_http2: bool,
    /// It has a `containerConcurrency`: activators share its pods out.
    pub has_limit: bool,
    /// Its queue-proxy knows all of its readiness: what it says counts before the platform's
    /// word. Not so with exec and startup probes, which only the platform runs.
    pub is_probe_enough: bool,
}

impl RevisionTarget {
    pub(super) fn port_name(&self) -> &'static str {
        if self.is_http2 { "http2" } else { "http" }
    }
}

/// What is the same for all endpoints of a revision.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) target: RevisionTarget,
    pub(super) probe: Arc<ReadinessProbe>,
}
