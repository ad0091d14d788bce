//! v1 Service: which Deployment stands behind a name.

use std::collections::BTreeMap;

use serde_json::Value;
use zeron_core::ObjectRef;

use crate::header::Header;
use crate::reader::{Node, Scope};

/// A v1 Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreService {
    /// Which object it is.
    pub object: ObjectRef,
    /// Labels of the pods behind it; empty: none.
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// One port of a v1 Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name.
    pub name: Option<String>,
    /// The Service's own number.
    pub port: u16,
    /// Number or name of the pod's port, when it is given.
    pub target: Option<String>,
    /// `appProtocol`, such as `kubernetes.io/h2c`.
    pub app_protocol: Option<String>,
}

const WITHOUT_EFFECT: [&str; 18] = [
    "allocateLoadBalancerNodePorts",
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "externalName",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "internalTrafficPolicy",
    "ipFamilies",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "publishNotReadyAddresses",
    "sessionAffinity",
    "sessionAffinityConfig",
    "trafficDistribution",
    "topologyKeys",
];

impl CoreService {
    /// Reads a v1 Service.
    pub fn read(scope: &Scope<'_>, header: &Header) -> Self {
        let root = scope.root();
        let spec = root.fields("spec");
        spec.unsupported(&WITHOUT_EFFECT);
        if spec.string("type").is_some_and(|kind| kind != "ClusterIP") {
            scope.without_effect(&spec.at("type"), "only ClusterIP has an effect here");
        }
        Self {
            object: header.object.clone(),
            selector: spec.string_map("selector"),
            ports: spec.items("ports").iter().filter_map(port).collect(),
        }
    }

    /// Whether pods with these labels stand behind it.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty()
            && self
                .selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    }
}

fn port(node: &Node<'_>) -> Option<ServicePort> {
    let fields = node.fields();
    fields.unsupported(&["nodePort"]);
    fields.accept(&["protocol"]);
    if !fields.has("port") {
        fields.error("port", "is missing");
    }
    let target = fields
        .get("targetPort")
        .and_then(|node| match node.value() {
            Value::Number(number) => Some(number.to_string()),
            _ => node.string().map(str::to_owned),
        });
    let (name, app_protocol) = (fields.string("name"), fields.string("appProtocol"));
    Some(ServicePort {
        name: name.map(str::to_owned),
        port: fields.integer("port", 1..=65_535)?,
        target,
        app_protocol: app_protocol.map(str::to_owned),
    })
}
