//! EndpointSlices that lead a Service to the activators.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::activators::ActivatorPod;

/// Value of `endpointslice.kubernetes.io/managed-by` on slices of ours.
pub const MANAGED_BY: &str = "zeron.dev";
pub(crate) const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// Kubernetes' own bound of its controllers; more activators than that share the load anyway.
const MOST_ENDPOINTS: usize = 100;

/// The Service that slices belong to.
#[derive(Clone, Debug)]
pub struct SliceSubject<'s> {
    /// Its namespace.
    pub namespace: &'s str,
    /// Its name.
    pub name: &'s str,
    /// Its UID: slices go with it.
    pub uid: &'s str,
    /// Its address families, `IPv4` or `IPv6`.
    pub families: &'s [String],
}

/// A port of a Service and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The Service port's name; empty where it has none.
    pub name: String,
    /// The activators' port.
    pub port: NonZeroU16,
    /// The Service port's `appProtocol`.
    pub app_protocol: Option<String>,
}

/// One slice per address family. The same input gives the same slices.
pub fn desired_slices(
    subject: &SliceSubject<'_>,
    ports: &[SlicePort],
    activators: &[&ActivatorPod],
) -> Vec<EndpointSlice> {
    let slice = |family: &String| EndpointSlice {
        metadata: metadata(subject, family),
        address_type: family.clone(),
        endpoints: endpoints(family, activators),
        ports: Some(ports.iter().map(slice_port).collect()),
    };
    subject.families.iter().map(slice).collect()
}

/// Whether what is there says what is wanted; what others added does not matter.
pub(crate) fn is_same(found: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    let label = |slice: &EndpointSlice, key: &str| {
        slice
            .metadata
            .labels
            .as_ref()
            .and_then(|l| l.get(key).cloned())
    };
    found.metadata.name == wanted.metadata.name
        && label(found, SERVICE_LABEL) == label(wanted, SERVICE_LABEL)
        && label(found, MANAGED_BY_LABEL) == label(wanted, MANAGED_BY_LABEL)
        && found.address_type == wanted.address_type
        && found.endpoints == wanted.endpoints
        && found.ports == wanted.ports
}

/// Controllers of Kubernetes that write slices of pods, and of Endpoints.
const PLATFORM: [&str; 2] = [
    "endpointslice-controller.k8s.io",
    "endpointslicemirroring-controller.k8s.io",
];

/// Whether Kubernetes' own controllers wrote it.
pub(crate) fn is_platform(slice: &EndpointSlice) -> bool {
    managed_by(slice).is_some_and(|manager| PLATFORM.contains(&manager))
}

/// Whether the slice is ours.
pub(crate) fn is_ours(slice: &EndpointSlice) -> bool {
    managed_by(slice) == Some(MANAGED_BY)
}

fn managed_by(slice: &EndpointSlice) -> Option<&str> {
    let labels = slice.metadata.labels.as_ref()?;
    labels.get(MANAGED_BY_LABEL).map(String::as_str)
}

fn metadata(subject: &SliceSubject<'_>, family: &str) -> ObjectMeta {
    let labels = [
        (SERVICE_LABEL, subject.name),
        (MANAGED_BY_LABEL, MANAGED_BY),
        ("app.kubernetes.io/managed-by", "zeron"),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    ObjectMeta {
        name: Some(format!("{}-zeron-{}", subject.name, family.to_lowercase())),
        namespace: Some(subject.namespace.to_owned()),
        labels: Some(BTreeMap::from(labels)),
        owner_references: Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            name: subject.name.to_owned(),
            uid: subject.uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: None,
        }]),
        ..ObjectMeta::default()
    }
}

fn endpoints(family: &str, activators: &[&ActivatorPod]) -> Vec<Endpoint> {
    let of_family = |address: &&IpAddr| match family {
        "IPv6" => address.is_ipv6(),
        _ => address.is_ipv4(),
    };
    let endpoint = |pod: &&ActivatorPod| {
        let address = pod.addresses.iter().find(of_family)?;
        Some(endpoint(pod, *address))
    };
    let mut endpoints: Vec<Endpoint> = activators.iter().filter_map(endpoint).collect();
    endpoints.sort_by(|a, b| a.addresses.cmp(&b.addresses));
    endpoints.truncate(MOST_ENDPOINTS);
    endpoints
}

/// No reference to the pod: it lives in another namespace, which references do not cross.
fn endpoint(pod: &ActivatorPod, address: IpAddr) -> Endpoint {
    Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(true),
            serving: Some(true),
            terminating: Some(false),
        }),
        node_name: pod.node.clone(),
        target_ref: None::<ObjectReference>,
        ..Endpoint::default()
    }
}

fn slice_port(port: &SlicePort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone()),
        port: Some(i32::from(port.port.get())),
        protocol: Some("TCP".to_owned()),
        app_protocol: port.app_protocol.clone(),
    }
}
