//! The ready endpoints of any Service, read from its EndpointSlices when somebody asks.

mod cache;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use tokio::time::Instant;
use zeron_core::metric::{Unknown, UnknownKind};

use crate::api::{CallError, Caller};
use crate::counters::Counters;
use cache::Cache;

/// Slices of one page of a list; each has at most a thousand endpoints.
const PAGE: usize = 100;
/// Pages of one Service that are read.
const MAX_PAGES: usize = 10;

/// Reads EndpointSlices; needs `list` on them. Clones share what was read.
#[derive(Clone)]
pub struct EndpointSlices {
    client: Client,
    counters: Arc<Counters>,
    cache: Arc<Cache>,
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
    #[serde(default)]
    metadata: ListMetadata,
    items: Vec<Slice>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMetadata {
    /// What asks for the next page; none or empty on the last.
    #[serde(rename = "continue")]
    next: Option<String>,
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
        Self {
            client,
            counters,
            cache: Arc::default(),
        }
    }

    /// The ready endpoints of a Service, within `timeout`. Whoever asks at the same time, or soon after, shares one
    /// answer.
    ///
    /// # Errors
    /// `Timeout`, `Configuration` where it may not be read or has too many slices, else `Transport`.
    pub async fn ready(
        &self,
        namespace: &str,
        service: &str,
        timeout: Duration,
    ) -> Result<Arc<[SlicedEndpoint]>, Unknown> {
        let end = Instant::now() + timeout;
        let read = self.list(namespace, service, end);
        let found = self.cache.get(namespace, service, read);
        let found = tokio::time::timeout_at(end, found).await;
        found.unwrap_or_else(|_| {
            let late = CallError::Timeout(timeout);
            Err(unknown(namespace, service, &late))
        })
    }

    /// Reads all pages.
    async fn list(
        &self,
        namespace: &str,
        service: &str,
        end: Instant,
    ) -> Result<Arc<[SlicedEndpoint]>, Unknown> {
        let (mut slices, mut next) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let left = end.saturating_duration_since(Instant::now());
            let caller = Caller::new(self.client.clone(), Arc::clone(&self.counters), left);
            let path = path(namespace, service, next.as_deref());
            let list: List = caller
                .get(&path)
                .await
                .map_err(|error| unknown(namespace, service, &error))?;
            slices.extend(list.items);
            next = list.metadata.next.filter(|it| !it.is_empty());
            if next.is_none() {
                return Ok(endpoints(&slices).into());
            }
        }
        let most = PAGE * MAX_PAGES;
        Err(Unknown {
            kind: UnknownKind::Configuration,
            message: format!("{namespace}/{service} has more than {most} EndpointSlices"),
        })
    }
}

/// Where a page is listed. It names no version: with `resourceVersion=0` an API server ignores the limit.
fn path(namespace: &str, service: &str, next: Option<&str>) -> String {
    let from = next.map(|token| format!("&continue={}", escaped(token)));
    let from = from.unwrap_or_default();
    format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{service}&limit={PAGE}{from}"
    )
}

/// A value of a query (RFC 3986, section 2.1).
fn escaped(text: &str) -> String {
    let byte = |it: u8| match it {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(it).to_string()
        }
        _ => format!("%{it:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Every ready endpoint once: its first address, and the ports of its slices. A Service of two address families has
/// slices of both with the same pods: those of IPv4 count, where a pod is ready at one.
fn endpoints(slices: &[Slice]) -> Vec<SlicedEndpoint> {
    let mut found = Vec::new();
    for slice in slices {
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
mod tests;
