//! Which addresses a trigger may make us dial: parameters are a tenant's, and we may reach more than they do.
//!
//! A name is resolved once, every address is checked, and that address is dialled: a name that changes its
//! mind between the check and the connection gains nothing. Redirects are not followed.

mod lookup;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use zeron_core::metric::{Unknown, UnknownKind};

use crate::source::unknown;
use lookup::LOOKUPS;

/// Where clouds serve credentials of machines though the address is not link-local: Amazon's and Google's
/// by IPv6, and Alibaba's.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

/// What may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPolicy {
    /// 127.0.0.0/8, ::1 and the unspecified addresses: this machine's own services.
    pub is_loopback_allowed: bool,
    /// 169.254.0.0/16, fe80::/10 and what else clouds serve credentials of machines at.
    pub is_link_local_allowed: bool,
}

impl AddressPolicy {
    /// One machine, whose user declares the triggers: loopback is where their queues are.
    pub const MACHINE: Self = Self {
        is_loopback_allowed: true,
        is_link_local_allowed: false,
    };
    /// A cluster, where tenants declare triggers and this process has a better place in the network.
    pub const CLUSTER: Self = Self {
        is_loopback_allowed: false,
        is_link_local_allowed: false,
    };

    /// Whether `address` may be dialled.
    pub fn allows(self, address: IpAddr) -> bool {
        let address = bare(address);
        let is_loopback = address.is_loopback() || address.is_unspecified();
        let is_link_local = match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        let is_link_local = is_link_local || METADATA.contains(&address);
        (self.is_loopback_allowed || !is_loopback)
            && (self.is_link_local_allowed || !is_link_local)
            && !address.is_multicast()
    }

    /// The addresses of `host`, all allowed, at least one.
    ///
    /// # Errors
    /// `Transport` where there is none, `Timeout`, `Configuration` where one is not allowed.
    pub async fn resolve(
        self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<Vec<SocketAddr>, Unknown> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => look_up(host, bare, timeout).await?,
        };
        let addresses = found.into_iter().map(|it| SocketAddr::new(it, port));
        let addresses: Vec<_> = addresses.collect();
        self.check(host, &addresses)?;
        Ok(addresses)
    }

    /// Refuses a name as soon as one of its addresses is not allowed.
    fn check(self, host: &str, addresses: &[SocketAddr]) -> Result<(), Unknown> {
        if addresses.is_empty() {
            return Err(unknown(
                UnknownKind::Transport,
                format!("{host} has no address"),
            ));
        }
        match addresses.iter().find(|it| !self.allows(it.ip())) {
            Some(refused) => Err(unknown(
                UnknownKind::Configuration,
                format!("{host} is {}, which triggers may not reach", refused.ip()),
            )),
            None => Ok(()),
        }
    }
}

async fn look_up(host: &str, bare: &str, timeout: Duration) -> Result<Vec<IpAddr>, Unknown> {
    let found = tokio::time::timeout(timeout, LOOKUPS.find(bare)).await;
    let found = found.map_err(|_| {
        let message = format!("{host} was not resolved within {timeout:?}");
        unknown(UnknownKind::Timeout, message)
    })?;
    found.map_err(|error| {
        let message = format!("cannot resolve {host}: {error}");
        unknown(UnknownKind::Transport, message)
    })
}

/// The IPv4 address within an IPv6 one: mapped, or of the well-known prefix of NAT64 (RFC 6052).
fn bare(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let bits = u32::from(high) << 16 | u32::from(low);
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        }
        _ => address.to_canonical(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(policy: AddressPolicy, address: &str) -> bool {
        policy.allows(address.parse().unwrap())
    }

    #[test]
    fn a_cluster_refuses_loopback_and_link_local_in_every_disguise() {
        for address in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "fe80::1",
            "224.0.0.1",
        ] {
            assert!(!allows(AddressPolicy::CLUSTER, address), "{address}");
        }
        for address in [
            "10.96.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "2001:db8::1",
            "64:ff9b::808:808",
        ] {
            assert!(allows(AddressPolicy::CLUSTER, address), "{address}");
        }
    }

    #[test]
    fn one_machine_allows_loopback_and_refuses_metadata_services() {
        assert!(allows(AddressPolicy::MACHINE, "127.0.0.1"));
        assert!(!allows(AddressPolicy::MACHINE, "169.254.169.254"));
        assert!(!allows(AddressPolicy::MACHINE, "fd00:ec2::254"));
    }

    #[tokio::test]
    async fn a_name_is_refused_after_resolution() {
        let refused = AddressPolicy::CLUSTER
            .resolve("localhost", 80, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert_eq!(refused.kind, UnknownKind::Configuration);
        assert!(
            refused.message.contains("may not reach"),
            "{}",
            refused.message
        );
    }
}
