//! Which addresses a trigger may make us dial: parameters are a tenant's, and we may reach more than they do.
//!
//! A name is resolved once, every address is checked, and that address is dialled: a name that changes its
//! mind between the check and the connection gains nothing. Redirects are not followed.

mod lookup;
mod territory;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use zeron_core::metric::{Unknown, UnknownKind};

use crate::source::unknown;
use lookup::LOOKUPS;
use territory::Foreign;

pub use territory::{AddressOwners, Territory};

/// Where clouds serve credentials of machines though the address is not link-local: Amazon's and Google's
/// by IPv6, and Alibaba's.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

/// What may be dialled.
#[derive(Clone, Debug)]
pub struct AddressPolicy {
    /// 127.0.0.0/8, ::1 and the unspecified addresses: this machine's own services.
    pub is_loopback_allowed: bool,
    /// 169.254.0.0/16, fe80::/10 and what else clouds serve credentials of machines at.
    pub is_link_local_allowed: bool,
    /// Which namespaces' Services and pods; `None`: all of them.
    pub territory: Option<Territory>,
}

impl AddressPolicy {
    /// One machine, whose user declares the triggers: loopback is where their queues are.
    pub const MACHINE: Self = Self {
        is_loopback_allowed: true,
        is_link_local_allowed: false,
        territory: None,
    };
    /// A cluster, where tenants declare triggers and this process has a better place in the network.
    pub const CLUSTER: Self = Self {
        is_loopback_allowed: false,
        is_link_local_allowed: false,
        territory: None,
    };

    /// The same, for the triggers of one namespace.
    #[must_use]
    pub fn on_behalf_of(&self, territory: Territory) -> Self {
        Self {
            territory: Some(territory),
            ..self.clone()
        }
    }

    /// Whether `address` may be dialled, whosever it is.
    fn allows(&self, address: IpAddr) -> bool {
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
        &self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<Vec<SocketAddr>, Unknown> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let tenant = self.territory.as_ref().map(Territory::namespace);
                look_up(host, bare, tenant, timeout).await?
            }
        };
        let addresses = found.into_iter().map(|it| SocketAddr::new(it, port));
        let addresses: Vec<_> = addresses.collect();
        self.check(host, addresses.iter().map(SocketAddr::ip))?;
        Ok(addresses)
    }

    /// Refuses a name as soon as one of its addresses is not allowed.
    ///
    /// # Errors
    /// `Transport` where there is none; why it is not known whose one is; `Configuration` where one is not allowed.
    pub(crate) fn check(
        &self,
        host: &str,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Result<(), Unknown> {
        let mut is_empty = true;
        for address in addresses {
            is_empty = false;
            self.check_one(host, address)?;
        }
        match is_empty {
            true => Err(unknown(
                UnknownKind::Transport,
                format!("{host} has no address"),
            )),
            false => Ok(()),
        }
    }

    /// Refuses a namespace whose Services and pods may not be reached.
    ///
    /// # Errors
    /// `Configuration`.
    pub(crate) fn check_namespace(&self, namespace: &str) -> Result<(), Unknown> {
        let territory = self.territory.as_ref();
        match territory.filter(|it| !it.includes(namespace)) {
            None => Ok(()),
            Some(territory) => {
                let own = territory.namespace();
                let message = format!("triggers of {own} may not reach Services of {namespace}");
                Err(unknown(UnknownKind::Configuration, message))
            }
        }
    }

    fn check_one(&self, host: &str, address: IpAddr) -> Result<(), Unknown> {
        if !self.allows(address) {
            let message = format!("{host} is {address}, which triggers may not reach");
            return Err(unknown(UnknownKind::Configuration, message));
        }
        let Some(territory) = &self.territory else {
            return Ok(());
        };
        let own = territory.namespace();
        territory.check(bare(address)).map_err(|foreign| match foreign {
            Foreign::NotKnown(reason) => unknown(
                reason.kind,
                format!("whose address {host} is is not known: {}", reason.message),
            ),
            Foreign::Other => unknown(
                UnknownKind::Configuration,
                format!("{host} is {address} of another namespace, which triggers of {own} may not reach"),
            ),
        })
    }
}

async fn look_up(
    host: &str,
    bare: &str,
    tenant: Option<&str>,
    timeout: Duration,
) -> Result<Vec<IpAddr>, Unknown> {
    let found = tokio::time::timeout(timeout, LOOKUPS.find(bare, tenant)).await;
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
    use std::sync::Arc;

    use super::*;

    /// One Service each of `shop` and `brokers`; `None` while nothing is known.
    #[derive(Debug)]
    struct Cluster {
        is_known: bool,
    }

    impl AddressOwners for Cluster {
        fn namespaces_of(&self, address: IpAddr) -> Result<Vec<Arc<str>>, Unknown> {
            let owners = match address.to_string().as_str() {
                "10.96.0.1" => vec!["shop".into()],
                "10.96.0.2" => vec!["brokers".into()],
                "10.96.0.3" => vec!["mail".into(), "shop".into()],
                _ => Vec::new(),
            };
            let reason = || {
                unknown(
                    UnknownKind::Transport,
                    "the pods have not been seen for 31 s",
                )
            };
            self.is_known.then_some(owners).ok_or_else(reason)
        }
    }

    fn on_behalf_of(namespace: &str, is_known: bool) -> AddressPolicy {
        let shared = Arc::new(["brokers".to_owned()].into());
        let owners = Arc::new(Cluster { is_known });
        AddressPolicy::CLUSTER.on_behalf_of(Territory::new(namespace, shared, owners))
    }

    async fn dial(policy: &AddressPolicy, host: &str) -> Result<(), Unknown> {
        let found = policy.resolve(host, 80, Duration::from_secs(5)).await;
        found.map(|_| ())
    }

    #[tokio::test]
    async fn triggers_reach_their_own_namespace_shared_ones_and_what_is_nobodys() {
        let (shop, mail) = (on_behalf_of("shop", true), on_behalf_of("mail", true));
        for host in ["10.96.0.1", "10.96.0.2", "10.96.0.3", "8.8.8.8"] {
            assert_eq!(dial(&shop, host).await, Ok(()), "{host}");
        }
        for host in ["10.96.0.2", "10.96.0.3", "8.8.8.8"] {
            assert_eq!(dial(&mail, host).await, Ok(()), "{host}");
        }
        for host in ["10.96.0.1", "[::ffff:10.96.0.1]", "64:ff9b::a60:1"] {
            let refused = dial(&mail, host).await.unwrap_err();
            assert_eq!(refused.kind, UnknownKind::Configuration, "{host}");
            let said = "of another namespace, which triggers of mail may not reach";
            assert!(refused.message.contains(said), "{}", refused.message);
        }
        // The rest of the policy holds as well.
        assert!(dial(&shop, "127.0.0.1").await.is_err());
    }

    #[test]
    fn namespaces_are_refused_but_the_own_and_shared_ones() {
        let shop = on_behalf_of("shop", false);
        assert_eq!(shop.check_namespace("shop"), Ok(()));
        assert_eq!(shop.check_namespace("brokers"), Ok(()));
        let refused = shop.check_namespace("mail").unwrap_err();
        assert_eq!(refused.kind, UnknownKind::Configuration);
        assert_eq!(AddressPolicy::CLUSTER.check_namespace("mail"), Ok(()));
    }

    #[tokio::test]
    async fn nothing_is_dialled_unless_it_is_known_whose_it_is() {
        let shop = on_behalf_of("shop", false);
        let refused = dial(&shop, "10.96.0.1").await.unwrap_err();
        assert_eq!(refused.kind, UnknownKind::Transport);
        assert_eq!(
            refused.message,
            "whose address 10.96.0.1 is is not known: the pods have not been seen for 31 s"
        );
    }

    fn allows(policy: &AddressPolicy, address: &str) -> bool {
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
            assert!(!allows(&AddressPolicy::CLUSTER, address), "{address}");
        }
        for address in [
            "10.96.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "2001:db8::1",
            "64:ff9b::808:808",
        ] {
            assert!(allows(&AddressPolicy::CLUSTER, address), "{address}");
        }
    }

    #[test]
    fn one_machine_allows_loopback_and_refuses_metadata_services() {
        assert!(allows(&AddressPolicy::MACHINE, "127.0.0.1"));
        assert!(!allows(&AddressPolicy::MACHINE, "169.254.169.254"));
        assert!(!allows(&AddressPolicy::MACHINE, "fd00:ec2::254"));
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
