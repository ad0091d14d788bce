//! Where a scaler is, as gRPC names it: `host:port`, or `dns:///host:port`.

use std::fmt;

/// gRPC's port where none is named.
const DEFAULT_PORT: u16 = 443;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    /// A name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Reads what KEDA hands to gRPC; other schemes, such as sockets of this machine, are refused.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let bare = ["dns:///", "passthrough:///", "dns:"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .unwrap_or(text);
        let (host, port) = split(bare).ok_or("must be host:port")?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(is_host) {
            return Err("must be host:port");
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Host, without brackets, and port.
fn split(text: &str) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, number(port)?)),
            None => rest.is_empty().then_some((host, DEFAULT_PORT)),
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => Some((host, number(port)?)),
        // An IPv6 address without brackets has no port.
        Some(_) | None => Some((text, DEFAULT_PORT)),
    }
}

fn number(port: &str) -> Option<u16> {
    port.parse().ok().filter(|port| *port > 0)
}

/// As it stands in a URL: an IPv6 address in brackets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_grpc_reads_them() {
        for (text, shown) in [
            ("scaler.shop.svc:9090", "scaler.shop.svc:9090"),
            ("dns:///scaler:9090", "scaler:9090"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("::1", "[::1]:443"),
            ("scaler", "scaler:443"),
            ("unix-scaler:90", "unix-scaler:90"),
        ] {
            let read = Address::parse(text).map(|it| it.to_string());
            assert_eq!(read.as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn other_schemes_and_half_addresses_are_refused() {
        for text in [
            "",
            ":80",
            "host:",
            "host:0",
            "host:x",
            "http://host:80",
            "unix:/run/scaler",
            "unix:scaler",
            "host name:80",
            "user@host:80",
            "[::1",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
