//! What there is of one Service, and whether it can lead to activators.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ServicePort as ApiPort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use thiserror::Error;

use super::annotations::{self, ACTIVATOR, HANDED_BACK, PORTS, Ports, SELECTOR, STATUS};
use super::slices::{is_ours, is_platform};
use super::watched::WatchedService;

/// A TCP port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// `appProtocol`.
    pub app_protocol: Option<String>,
}

/// Why a Service cannot lead to activators.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No address of its own: its name gives the pods' addresses, ports and all.
    #[error(
        "it is headless: its name gives the addresses of pods, which activators cannot stand for"
    )]
    Headless,
    /// A name of somewhere else.
    #[error("it is of type ExternalName: it has no pods")]
    ExternalName,
    /// Neither a selector nor one that we took.
    #[error("it has no selector: its endpoints are written by somebody else")]
    NoSelector,
    /// UDP or SCTP.
    #[error("port {0} is not TCP")]
    Protocol(u16),
    /// Ports lead to different ports of the pods.
    #[error(
        "ports {0} and {1} lead to different ports of the pods, but a function has one: make a \
         Service of its own for the other"
    )]
    SeveralPorts(u16, u16),
    /// It has no port at all.
    #[error("it has no ports")]
    NoPorts,
    /// Nothing that could be scaled.
    #[error("its selector matches the pods of no function: no Deployment or other target has them")]
    NoFunction,
    /// All activator ports are taken.
    #[error("{0}")]
    NoPortLeft(super::ledger::NoPortLeft),
}

/// One Service with its slices.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// `metadata.resourceVersion`: writes are made only on this version.
    pub version: String,
    /// It opted in, and was not given back.
    pub is_opted: bool,
    /// `spec.selector`, where it has one.
    pub selector: Option<BTreeMap<String, String>>,
    /// The selector that we took.
    pub kept_selector: Option<BTreeMap<String, String>>,
    /// Ports that were allotted.
    pub ports: Ports,
    /// What its status annotation says.
    pub status: Option<String>,
    /// Its address families.
    pub families: Vec<String>,
    /// Its ports, or why there cannot be any activators in front.
    pub shape: Option<Result<Vec<ServicePort>, Refusal>>,
    /// Slices of ours.
    pub ours: Vec<EndpointSlice>,
    /// Slices of Kubernetes' own controllers.
    pub platform: Vec<EndpointSlice>,
}

impl Observed {
    pub(super) fn new(service: &WatchedService, slices: Vec<EndpointSlice>) -> Self {
        let annotations = service.annotations();
        let said = |key: &str| annotations.get(key).map(String::as_str);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let spec = service.spec.clone().unwrap_or_default();
        let (ours, others): (Vec<_>, Vec<_>) = slices.into_iter().partition(is_ours);
        Self {
            namespace: text(&service.meta.namespace),
            name: text(&service.meta.name),
            uid: text(&service.meta.uid),
            version: text(&service.meta.resource_version),
            is_opted: said(ACTIVATOR) == Some("true") && said(HANDED_BACK) != Some("true"),
            kept_selector: said(SELECTOR).and_then(annotations::parse_selector),
            ports: said(PORTS)
                .map(annotations::parse_ports)
                .unwrap_or_default(),
            status: said(STATUS).map(str::to_owned),
            families: families(&spec),
            shape: Some(shape(&spec)),
            selector: spec.selector.filter(|selector| !selector.is_empty()),
            ours,
            platform: others.into_iter().filter(is_platform).collect(),
        }
    }

    /// Whether callers are with the activators for good.
    pub fn is_switched(&self) -> bool {
        self.selector.is_none() && self.kept_selector.is_some()
    }

    /// Whether anything of ours is on it.
    pub fn is_marked(&self) -> bool {
        self.kept_selector.is_some()
            || !self.ports.is_empty()
            || self.status.is_some()
            || !self.ours.is_empty()
    }

    /// Numbers of its ports.
    pub fn wanted_ports(&self) -> BTreeSet<u16> {
        let ports = self.shape.iter().flatten().flatten();
        ports.map(|port| port.number).collect()
    }

    /// The selector that counts: its own before the one that we took, for it is newer.
    pub fn effective_selector(&self) -> Option<&BTreeMap<String, String>> {
        self.selector.as_ref().or(self.kept_selector.as_ref())
    }
}

fn families(spec: &ServiceSpec) -> Vec<String> {
    let families = spec.ip_families.clone().unwrap_or_default();
    match families.is_empty() {
        true => vec!["IPv4".to_owned()],
        false => families,
    }
}

fn shape(spec: &ServiceSpec) -> Result<Vec<ServicePort>, Refusal> {
    if spec.type_.as_deref() == Some("ExternalName") {
        return Err(Refusal::ExternalName);
    }
    if spec.cluster_ip.as_deref() == Some("None") {
        return Err(Refusal::Headless);
    }
    let ports = spec.ports.as_deref().unwrap_or_default();
    let first = ports.first().ok_or(Refusal::NoPorts)?;
    for port in ports {
        let number = number(port);
        if port.protocol.as_deref().is_some_and(|p| p != "TCP") {
            return Err(Refusal::Protocol(number));
        }
        if target(port) != target(first) {
            return Err(Refusal::SeveralPorts(self::number(first), number));
        }
    }
    Ok(ports.iter().map(service_port).collect())
}

fn service_port(port: &ApiPort) -> ServicePort {
    ServicePort {
        name: port.name.clone().unwrap_or_default(),
        number: number(port),
        app_protocol: port.app_protocol.clone(),
    }
}

/// The API server allows 1 to 65535.
fn number(port: &ApiPort) -> u16 {
    u16::try_from(port.port).unwrap_or_default()
}

fn target(port: &ApiPort) -> String {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    match &port.target_port {
        Some(IntOrString::String(name)) => name.clone(),
        Some(IntOrString::Int(number)) if *number != 0 => number.to_string(),
        Some(IntOrString::Int(_)) | None => port.port.to_string(),
    }
}
