//! Which server, with which credentials: triggers of equal keys share their client.

use std::fmt;
use std::sync::Arc;

use zeron_core::policy::Secret;

use super::table;
use crate::parameters::{Parameter, Parameters};
use crate::tls::{self, TlsSettings};

/// Nodes or sentinels that are asked at once; a trigger may name more.
pub(super) const MAX_HOSTS: usize = 16;

/// How many servers there are and who knows where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    Single,
    Cluster,
    Sentinel,
}

/// A server, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Host {
    /// A name or an address, without brackets.
    pub(super) name: Arc<str>,
    pub(super) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Host {
    /// Reads `host:port` or `[address]:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, port) = text.rsplit_once(':')?;
        let is_bracketed = name.starts_with('[') && name.ends_with(']');
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if bare.contains(':') && !is_bracketed {
            return None;
        }
        Self::of(bare, port)
    }

    fn of(name: &str, port: &str) -> Option<Self> {
        let port: u16 = port.parse().ok()?;
        let is_plain = !name.is_empty() && !name.contains(['/', '@', ' ']);
        (is_plain && port > 0).then(|| Self {
            name: name.into(),
            port,
        })
    }
}

/// A user and the password, as far as they are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Credentials {
    pub(super) username: Option<Secret>,
    pub(super) password: Option<Secret>,
}

/// Where the servers are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Servers {
    Single(Host),
    Cluster(Vec<Host>),
    Sentinel {
        sentinels: Vec<Host>,
        master: String,
        credentials: Credentials,
    },
}

/// A server and the credentials for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SourceKey {
    pub(super) servers: Servers,
    pub(super) credentials: Credentials,
    pub(super) database: u32,
    pub(super) tls: Option<TlsSettings>,
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.servers {
            Servers::Single(host) => write!(f, "{host}"),
            Servers::Cluster(nodes) => match nodes.first() {
                Some(node) => write!(f, "{node}"),
                None => f.write_str("?"),
            },
            Servers::Sentinel { master, .. } => f.write_str(master),
        }
    }
}

impl SourceKey {
    /// Reads addresses and credentials. Problems are noted in `parameters`.
    pub(super) fn read(parameters: &mut Parameters<'_>, setup: Setup) -> Self {
        let servers = match setup {
            Setup::Single => read_single(parameters),
            Setup::Cluster => Servers::Cluster(read_many(parameters)),
            Setup::Sentinel => Servers::Sentinel {
                sentinels: read_many(parameters),
                master: parameters.required(&table::SENTINEL_MASTER).to_owned(),
                credentials: Credentials {
                    username: parameters.secret(&table::SENTINEL_USERNAME),
                    password: parameters.secret(&table::SENTINEL_PASSWORD),
                },
            },
        };
        Self {
            servers,
            credentials: Credentials {
                username: parameters.secret(&table::USERNAME),
                password: parameters.secret(&table::PASSWORD),
            },
            database: read_database(parameters, setup),
            tls: read_tls(parameters),
        }
    }
}

fn read_single(parameters: &mut Parameters<'_>) -> Servers {
    let mut hosts = read_hosts(
        parameters,
        [
            &[table::ADDRESS, table::ADDRESSES],
            &[table::HOST, table::HOSTS],
            &[table::PORT, table::PORTS],
        ],
    );
    if hosts.len() > 1 {
        parameters.problem(&table::ADDRESS, "address is to name one server");
    }
    Servers::Single(hosts.pop().unwrap_or(Host {
        name: "".into(),
        port: 0,
    }))
}

fn read_many(parameters: &mut Parameters<'_>) -> Vec<Host> {
    let mut hosts = read_hosts(
        parameters,
        [
            &[table::ADDRESSES, table::ADDRESS],
            &[table::HOSTS, table::HOST],
            &[table::PORTS, table::PORT],
        ],
    );
    hosts.dedup();
    hosts
}

/// The servers of an address parameter, else of hosts and ports. Values may be secrets and are not repeated.
fn read_hosts(parameters: &mut Parameters<'_>, names: [&[Parameter]; 3]) -> Vec<Host> {
    let [addresses, hosts, ports] = names.map(|names| {
        let lists = names.iter().map(|name| parameters.list(name));
        lists.reduce(|first, second| if first.is_empty() { second } else { first })
    });
    let [addresses, hosts, ports] = [addresses, hosts, ports].map(Option::unwrap_or_default);
    let [address, host, port] = names.map(|names| names[0]);
    let (found, parameter, wanted) = if !addresses.is_empty() {
        let found: Option<Vec<_>> = addresses.iter().map(|it| Host::parse(it)).collect();
        (found, address, "host:port")
    } else if hosts.is_empty() && ports.is_empty() {
        let message = format!(
            "{}, or {} and {}, is required",
            address.name, host.name, port.name
        );
        parameters.problem(&address, message);
        return Vec::new();
    } else {
        if hosts.len() != ports.len() {
            let message = format!("{} and {} must be equally many", host.name, port.name);
            parameters.problem(&port, message);
            return Vec::new();
        }
        let pairs = hosts.iter().zip(&ports);
        let found: Option<Vec<_>> = pairs
            .map(|(host, port)| Host::of(host.trim_matches(['[', ']']), port))
            .collect();
        (found, port, "a host and a port number each")
    };
    if found.is_none() {
        let message = format!("{}: expected {wanted}", parameter.name);
        parameters.problem(&parameter, message);
    }
    found.unwrap_or_default()
}

fn read_database(parameters: &mut Parameters<'_>, setup: Setup) -> u32 {
    let database = parameters.count(&table::DATABASE_INDEX);
    if setup == Setup::Cluster {
        if database != 0 {
            let message = "databaseIndex: a cluster has database 0 alone, which is read";
            parameters.warning(&table::DATABASE_INDEX, message);
        }
        return 0;
    }
    u32::try_from(database).unwrap_or_else(|_| {
        parameters.problem(&table::DATABASE_INDEX, "databaseIndex is too great");
        0
    })
}

fn read_tls(parameters: &mut Parameters<'_>) -> Option<TlsSettings> {
    let is_both =
        parameters.is_given(&table::ENABLE_TLS) && parameters.choice(&table::TLS).is_some();
    if is_both {
        let message = "tls of the authentication and enableTLS exclude each other";
        parameters.problem(&table::TLS, message);
    }
    let is_enabled =
        parameters.flag(&table::ENABLE_TLS) || parameters.choice(&table::TLS) == Some("enable");
    if is_enabled {
        let names = [tls::CERT, table::CERT_CAPITAL];
        return Some(TlsSettings::read_with(parameters, &names));
    }
    for unused in [
        tls::CA,
        tls::CERT,
        table::CERT_CAPITAL,
        tls::KEY,
        tls::KEY_PASSWORD,
        tls::UNSAFE_SSL,
    ] {
        parameters.accept(&unused);
    }
    None
}
