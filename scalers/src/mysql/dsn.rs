//! Connection strings as Go's MySQL driver takes them:
//! `user:password@tcp(host:port)/database?name=value`. <https://github.com/go-sql-driver/mysql#dsn-data-source-name>

use std::collections::BTreeMap;

use thiserror::Error;

use crate::sql::percent::decode;

/// Why a connection string is not understood. Never repeats a part of it: that may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum DsnError {
    /// No slash at all.
    #[error("the slash before the database is missing")]
    NoSlash,
    /// The network's address.
    #[error("the address is not closed with a bracket")]
    OpenBracket,
    /// A network that is not dialled.
    #[error("the network is neither tcp nor unix")]
    Network,
    /// A port that is none.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// A parameter without value.
    #[error("parameter {0} is not name=value")]
    NotAPair(usize),
    /// `%` without two hexadecimal digits, or not UTF-8 after decoding.
    #[error("a % sequence is not understood")]
    PercentSequence,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    /// On a port of a host.
    Tcp {
        /// Name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// On a Unix socket.
    Unix(String),
}

/// The parts of a connection string.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Dsn {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) address: Address,
    pub(super) database: String,
    pub(super) parameters: BTreeMap<String, String>,
}

const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 3306;

/// Reads a connection string.
///
/// # Errors
/// [`DsnError`].
pub(super) fn parse(text: &str) -> Result<Dsn, DsnError> {
    // The last slash: passwords may hold some, values of parameters hold none.
    let (head, tail) = text.rsplit_once('/').ok_or(DsnError::NoSlash)?;
    let (login, network) = head.rsplit_once('@').unwrap_or(("", head));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (database, query) = tail.split_once('?').unwrap_or((tail, ""));
    Ok(Dsn {
        user: user.to_owned(),
        password: password.to_owned(),
        address: address(network)?,
        database: decode(database).ok_or(DsnError::PercentSequence)?,
        parameters: parameters(query)?,
    })
}

/// `tcp(host:port)`, `unix(/path)`.
fn address(text: &str) -> Result<Address, DsnError> {
    let (network, address) = match text.split_once('(') {
        Some((network, rest)) => (
            network,
            rest.strip_suffix(')').ok_or(DsnError::OpenBracket)?,
        ),
        None => (text, ""),
    };
    match network {
        "" | "tcp" => {
            let (host, port) = host_and_port(address)?;
            let host = if host.is_empty() { DEFAULT_HOST } else { host };
            Ok(Address::Tcp {
                host: host.to_owned(),
                port,
            })
        }
        "unix" => {
            let path = if address.is_empty() {
                "/tmp/mysql.sock"
            } else {
                address
            };
            Ok(Address::Unix(path.to_owned()))
        }
        _ => Err(DsnError::Network),
    }
}

fn host_and_port(text: &str) -> Result<(&str, u16), DsnError> {
    let (host, port) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or("")),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if port.is_empty() {
        return Ok((host, DEFAULT_PORT));
    }
    let port = port.parse().ok().filter(|it| *it > 0);
    Ok((host, port.ok_or(DsnError::Port)?))
}

fn parameters(query: &str) -> Result<BTreeMap<String, String>, DsnError> {
    let pairs = query.split('&').filter(|it| !it.is_empty());
    let pair = |(index, pair): (usize, &str)| {
        let (name, value) = pair.split_once('=').ok_or(DsnError::NotAPair(index + 1))?;
        let value = decode(&value.replace('+', " ")).ok_or(DsnError::PercentSequence)?;
        Ok((name.to_owned(), value))
    };
    pairs.enumerate().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn connection_strings_of_go_are_understood() {
        for (text, user, password, address, database) in [
            (
                "bob:pa/ss@x@tcp(db:3307)/jobs",
                "bob",
                "pa/ss@x",
                tcp("db", 3307),
                "jobs",
            ),
            ("bob@tcp(db)/jobs", "bob", "", tcp("db", 3306), "jobs"),
            (
                "bob:a:b@tcp([::1]:3307)/",
                "bob",
                "a:b",
                tcp("::1", 3307),
                "",
            ),
            ("bob@/jobs", "bob", "", tcp("127.0.0.1", 3306), "jobs"),
            ("/", "", "", tcp("127.0.0.1", 3306), ""),
            (
                "bob@unix(/run/my.sock)/a%20b",
                "bob",
                "",
                Address::Unix("/run/my.sock".to_owned()),
                "a b",
            ),
        ] {
            let dsn = parse(text).unwrap();
            assert_eq!(dsn.user, user, "{text}");
            assert_eq!(dsn.password, password, "{text}");
            assert_eq!(dsn.address, address, "{text}");
            assert_eq!(dsn.database, database, "{text}");
            assert!(dsn.parameters.is_empty(), "{text}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let dsn = parse("bob@tcp(db)/jobs?tls=true&time_zone=%27Europe%2FParis%27&a=b+c").unwrap();
        let expected = [
            ("a", "b c"),
            ("time_zone", "'Europe/Paris'"),
            ("tls", "true"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(dsn.parameters, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_not_understood_is_refused_without_repeating_it() {
        for (text, expected) in [
            ("canary", DsnError::NoSlash),
            ("bob:canary@tcp(db:3306/jobs", DsnError::OpenBracket),
            ("bob:canary@cloudsql(a:b)/jobs", DsnError::Network),
            ("mysql://bob:canary@db/jobs", DsnError::Network),
            ("bob:canary@tcp(db:x)/jobs", DsnError::Port),
            ("bob:canary@tcp(db:0)/jobs", DsnError::Port),
            ("bob@tcp(db)/jobs?canary", DsnError::NotAPair(1)),
            ("bob@tcp(db)/canary%2", DsnError::PercentSequence),
        ] {
            let error = parse(text).err().unwrap();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("canary"));
        }
    }
}
