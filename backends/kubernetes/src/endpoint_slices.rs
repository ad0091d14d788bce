//! The ready endpoints of any Service, read from its EndpointSlices when somebody asks.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use zeron_core::metric::{Unknown, UnknownKind};

use crate::api::{CallError, Caller};
use crate::counters::Counters;

/// Slices of one Service that are read; each has at most a thousand endpoints.
const MAX_SLICES: usize = 100;

/// Reads EndpointSlices; needs `list` on them.
#[derive(Clone)]
pub struct EndpointSlices {
    client: Client,
    counters: Arc<Counters>,
}

impl fmt::Debug for EndpointSlices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSlices").finish_non_exhaustive()
    }
}

/// An endpoint that takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicedEndpoint {
    /// Its address.
    pub address: IpAddr,
    /// The ports at which it serves the Service.
    pub ports: Vec<u16>,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Slice>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Slice {
    endpoints: Option<Vec<RawEndpoint>>,
    ports: Option<Vec<RawPort>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEndpoint {
    addresses: Vec<String>,
    conditions: Conditions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Conditions {
    /// Nothing said means ready.
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPort {
    port: Option<u16>,
}

impl EndpointSlices {
    /// Reads through `client`.
    pub fn new(client: Client, counters: Arc<Counters>) -> Self {
        Self { client, counters }
    }

    /// The ready endpoints of a Service, within `timeout`.
    ///
    /// # Errors
    /// `Timeout`, `Configuration` where it may not be read, else `Transport`.
    pub async fn ready(
        &self,
        namespace: &str,
        service: &str,
        timeout: Duration,
    ) -> Result<Vec<SlicedEndpoint>, Unknown> {
        let caller = Caller::new(self.client.clone(), Arc::clone(&self.counters), timeout);
        // From the API server's memory: what is read is not older than what a watch would show.
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{service}&limit={MAX_SLICES}&resourceVersion=0"
        );
        let list: List = caller
            .get(&path)
            .await
            .map_err(|error| unknown(namespace, service, &error))?;
        Ok(endpoints(&list))
    }
}

/// Every ready endpoint once: its first address, and the ports of its slices. A Service of two address families has
/// slices of both with the same pods: those of IPv4 count, where a pod is ready at one.
fn endpoints(list: &List) -> Vec<SlicedEndpoint> {
    let mut found = Vec::new();
    for slice in &list.items {
        let ports = slice.ports.iter().flatten().filter_map(|it| it.port);
        let ports: Vec<u16> = ports.collect();
        let all = slice.endpoints.iter().flatten();
        let ready = all.filter(|it| it.conditions.ready != Some(false));
        found.extend(ready.filter_map(|endpoint| {
            let address = endpoint.addresses.first()?.parse().ok()?;
            let ports = ports.clone();
            Some(SlicedEndpoint { address, ports })
        }));
    }
    let has_v4 = found.iter().any(|it| it.address.is_ipv4());
    found.retain(|it| it.address.is_ipv4() == has_v4);
    // An endpoint that moves from one slice to another is in both for a while.
    found.sort_by_key(|it| it.address);
    found.dedup_by(|again, kept| again.is_merged_into(kept));
    found
}

impl SlicedEndpoint {
    /// Whether it is the same endpoint, which has the ports of both then.
    fn is_merged_into(&self, kept: &mut Self) -> bool {
        if self.address != kept.address {
            return false;
        }
        for port in &self.ports {
            if !kept.ports.contains(port) {
                kept.ports.push(*port);
            }
        }
        true
    }
}

fn unknown(namespace: &str, service: &str, error: &CallError) -> Unknown {
    let kind = match error {
        CallError::Timeout(_) => UnknownKind::Timeout,
        CallError::Refused { status: 403, .. } => UnknownKind::Configuration,
        _ => UnknownKind::Transport,
    };
    Unknown {
        kind,
        message: format!("endpoints of {namespace}/{service}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn ready_endpoints_of_all_slices_are_found_once() {
        let list = json!({"items": [
            {
                "endpoints": [
                    {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                    {"addresses": ["10.0.0.3"]},
                ],
                "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090}],
            },
            {
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
                "ports": [{"port": 8080}, {"port": 9090}],
            },
            {"endpoints": null, "ports": null},
        ]});
        let list: List = serde_json::from_value(list).unwrap();
        let found = endpoints(&list);
        let addresses: Vec<_> = found.iter().map(|it| it.address.to_string()).collect();
        assert_eq!(addresses, ["10.0.0.1", "10.0.0.3"]);
        assert_eq!(found[0].ports, [8080, 9090]);
    }

    fn found(slices: &serde_json::Value) -> Vec<(String, Vec<u16>)> {
        let list = json!({ "items": slices });
        let list: List = serde_json::from_value(list).unwrap();
        let found = endpoints(&list).into_iter();
        found.map(|it| (it.address.to_string(), it.ports)).collect()
    }

    fn one(address: &str, ports: &[u16]) -> Vec<(String, Vec<u16>)> {
        vec![(address.to_owned(), ports.to_vec())]
    }

    #[test]
    fn a_pod_with_an_address_of_each_family_is_found_once() {
        let v4 = |is_ready: bool| {
            json!({
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": is_ready}}],
                "ports": [{"port": 8080}],
            })
        };
        let v6 = json!({
            "addressType": "IPv6",
            "endpoints": [{"addresses": ["fd00::1"], "conditions": {"ready": true}}],
            "ports": [{"port": 8080}],
        });
        let both = json!([v6, v4(true)]);
        assert_eq!(found(&both), one("10.0.0.1", &[8080]));
        // Pods that have no IPv4 leave its slices empty.
        let empty = json!({"addressType": "IPv4", "endpoints": [], "ports": []});
        for slices in [json!([empty, v6]), json!([v4(false), v6])] {
            assert_eq!(found(&slices), one("fd00::1", &[8080]));
        }
    }

    #[test]
    fn an_address_in_two_slices_has_the_ports_of_both() {
        let slice = |ports: [u16; 2]| {
            let ports = ports.map(|port| json!({ "port": port }));
            json!({"endpoints": [{"addresses": ["10.0.0.1"]}], "ports": ports})
        };
        let slices = json!([slice([8080, 9090]), slice([9090, 3000])]);
        assert_eq!(found(&slices), one("10.0.0.1", &[8080, 9090, 3000]));
    }
}
