//! Options of `--dialect knative`, most of them from what Knative's Deployments put into the
//! environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;
use clap::{Args, ValueEnum};

/// Of options that only this dialect has.
pub(crate) const HEADING: &str = "With --dialect knative";

/// Whose objects and protocols a process speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// Our own, for objects of KEDA and its HTTP add-on.
    Zeron,
    /// Those of Knative Serving, whose own process this one takes the place of.
    Knative,
}

/// What a process of Knative's is told by its environment.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct KnativeArgs {
    /// Address of this pod
    #[arg(long, value_name = "ADDRESS", env = "POD_IP")]
    pub(crate) pod_ip: Option<IpAddr>,
    /// Knative's own namespace
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "SYSTEM_NAMESPACE",
        default_value = "knative-serving"
    )]
    pub(crate) system_namespace: String,
    /// Domain of Services [default: the one of /etc/resolv.conf, else cluster.local]
    #[arg(long, value_name = "DOMAIN", env = "CLUSTER_DOMAIN")]
    pub(crate) cluster_domain: Option<String>,
}

impl KnativeArgs {
    /// Address of this pod.
    ///
    /// # Errors
    /// When it was not given.
    pub(super) fn pod_ip(&self) -> anyhow::Result<IpAddr> {
        self.pod_ip
            .context("no address of this pod: --pod-ip, or POD_IP as Knative's Deployments give it")
    }

    /// Domain of Services.
    pub(super) fn cluster_domain(&self) -> String {
        self.cluster_domain.clone().unwrap_or_else(|| {
            let resolver = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            domain(&resolver).unwrap_or("cluster.local").to_owned()
        })
    }
}

/// The domain after `svc.` among the resolver's search domains.
fn domain(resolver: &str) -> Option<&str> {
    let mut words = resolver.lines().map(str::split_whitespace);
    let mut searched = words
        .by_ref()
        .filter_map(|mut words| (words.next()? == "search").then_some(words))
        .flatten();
    let found = searched.find_map(|it| it.strip_prefix("svc."))?;
    Some(found.trim_end_matches('.'))
}

/// All addresses of both families, or of IPv4 on a machine without the other.
pub(super) fn everywhere(address: SocketAddr) -> SocketAddr {
    let is_any = address.is_ipv6() && address.ip().is_unspecified();
    if is_any && TcpListener::bind((address.ip(), 0)).is_err() {
        return SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_that_of_the_first_service_among_search_domains() {
        let resolver = "nameserver 10.0.0.10\nsearch fn.svc.a.example svc.a.example. a.example\n";
        assert_eq!(domain(resolver), Some("a.example"));
        assert_eq!(
            domain("search svc.cluster.local\t cluster.local"),
            Some("cluster.local")
        );
        assert_eq!(domain("options ndots:5 svc.no"), None);
        assert_eq!(domain(""), None);
    }

    #[test]
    fn addresses_of_one_family_stay_as_they_are() {
        for address in ["127.0.0.1:8012", "[::1]:8012", "0.0.0.0:8012"] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(everywhere(address), address);
        }
    }
}
