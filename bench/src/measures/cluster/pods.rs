//! Which address each function's pod has, and since when we know.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use anyhow::Result;
use serde_json::Value;

use super::api::Api;
use super::namespace::{Kind, Namespace};
use super::watch::Watch;

/// The label by which a function's pods are found.
pub(crate) const LABEL: &str = "app";

/// A pod with an address.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// When our watch told the address.
    pub(crate) seen: SystemTime,
}

/// Pods of a namespace by their label, as far as they have had an address since the watch began. Requests will go to
/// `port`.
pub(crate) fn watch(api: &Api, namespace: &Namespace, port: u16) -> Result<Watch<Pod>> {
    Watch::start(api, namespace, Kind::Pod, move |pod| addressed(pod, port))
}

fn addressed(pod: &Value, port: u16) -> Option<(String, Pod)> {
    let app = pod["metadata"]["labels"][LABEL].as_str()?;
    let ip: IpAddr = pod["status"]["podIP"].as_str()?.parse().ok()?;
    let name = pod["metadata"]["name"].as_str()?;
    let pod = Pod {
        name: name.to_owned(),
        address: SocketAddr::new(ip, port),
        seen: SystemTime::now(),
    };
    Some((app.to_owned(), pod))
}
