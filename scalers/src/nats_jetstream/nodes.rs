//! The servers of a cluster by their names, as `/varz` tells them.

use std::fmt;

use serde::Deserialize;

use crate::http::{Url, shown};

/// Servers that are asked at most.
pub(super) const MAX_NODES: usize = 32;

/// What a server says about itself and its cluster.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Varz {
    /// What `/jsz` has too.
    #[serde(default)]
    pub(super) server_id: String,
    /// What a consumer's leader is named by.
    #[serde(default)]
    pub(super) server_name: String,
    #[serde(default)]
    connect_urls: Option<Vec<String>>,
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Clone, Debug, Deserialize)]
struct Cluster {
    #[serde(default)]
    urls: Option<Vec<String>>,
}

/// A server of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name.
    pub(super) name: String,
    /// Its id.
    pub(super) id: String,
    /// Its monitoring endpoint.
    pub(super) url: Url,
}

/// Without what the URL may hold: a user and a password.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} at {})", self.name, shown(&self.url))
    }
}

impl Varz {
    /// Where the monitoring endpoints of the cluster's servers are, as KEDA has it: on the hosts that are
    /// advertised to clients, with the port of `endpoint`; where none is, below the host of `endpoint`
    /// by the servers' names, as a StatefulSet's headless Service has them.
    pub(super) fn candidates(&self, endpoint: &Url) -> Vec<Url> {
        let advertised = self.connect_urls.as_deref().unwrap_or(&[]);
        let with_host = |host: &str| {
            let mut url = endpoint.clone();
            url.set_host(Some(host)).ok().map(|()| url)
        };
        let found: Vec<_> = if advertised.is_empty() {
            let routes = self.cluster.as_ref().and_then(|it| it.urls.as_deref());
            let base = endpoint.host_str().unwrap_or("");
            let names = routes.unwrap_or(&[]).iter();
            let names = names.filter_map(|url| host(url).split('.').next());
            names
                .filter_map(|name| with_host(&format!("{name}.{base}")))
                .collect()
        } else {
            let hosts = advertised.iter().map(|url| host(url));
            hosts.filter_map(with_host).collect()
        };
        let mut distinct: Vec<Url> = Vec::new();
        for url in found.into_iter().take(MAX_NODES) {
            if !distinct.contains(&url) {
                distinct.push(url);
            }
        }
        distinct
    }
}

/// The host of `host:port` or `nats://user@host:port`; IPv6 with its brackets.
fn host(address: &str) -> &str {
    let bare = address.rsplit_once("://").map_or(address, |(_, bare)| bare);
    let bare = bare.rsplit_once('@').map_or(bare, |(_, bare)| bare);
    match bare.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => host,
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_url;

    fn candidates(varz: &str, endpoint: &str) -> Vec<String> {
        let varz: Varz = serde_json::from_str(varz).unwrap();
        let found = varz.candidates(&parse_url(endpoint).unwrap());
        found.into_iter().map(String::from).collect()
    }

    #[test]
    fn advertised_hosts_have_the_port_of_the_endpoint() {
        let varz = r#"{"connect_urls": ["10.0.0.1:4222", "[fd00::1]:4222", "n3.nats:4222", "10.0.0.1:4223"]}"#;
        assert_eq!(
            candidates(varz, "http://nats:8222"),
            [
                "http://10.0.0.1:8222/",
                "http://[fd00::1]:8222/",
                "http://n3.nats:8222/"
            ]
        );
    }

    #[test]
    fn without_advertised_hosts_names_are_below_the_endpoint() {
        let varz = r#"{"cluster": {"urls": ["nats-0.nats.shop.svc:6222", "nats://u:p@nats-1.nats:6222"]}}"#;
        assert_eq!(
            candidates(varz, "http://nats.shop.svc:8222"),
            [
                "http://nats-0.nats.shop.svc:8222/",
                "http://nats-1.nats.shop.svc:8222/"
            ]
        );
    }

    #[test]
    fn a_server_alone_has_no_others() {
        assert!(candidates("{}", "http://nats:8222").is_empty());
    }

    #[test]
    fn a_server_that_lists_thousands_is_not_followed_everywhere() {
        let urls: Vec<_> = (0..1000).map(|it| format!("\"n{it}:4222\"")).collect();
        let varz = format!("{{\"connect_urls\": [{}]}}", urls.join(","));
        assert_eq!(candidates(&varz, "http://nats:8222").len(), MAX_NODES);
    }
}
