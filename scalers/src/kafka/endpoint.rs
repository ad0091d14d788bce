//! Where a broker listens.

use std::fmt;
use std::sync::Arc;

/// The port of a bootstrap server that is named without one.
const DEFAULT_PORT: u16 = 9092;

/// Longest name of a host in the DNS.
const MAX_HOST: usize = 255;

/// Host and port of a broker. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Endpoint {
    /// Name or address, without brackets.
    pub(crate) host: Arc<str>,
    /// The port.
    pub(crate) port: u16,
}

impl Endpoint {
    /// The broker that calls itself so; `None` where nobody can be called so.
    pub(crate) fn new(host: &str, port: i32) -> Option<Self> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_host = !host.is_empty()
            && host.len() <= MAX_HOST
            && host.chars().all(|c| c.is_ascii_graphic() && c != '/');
        let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
        is_host.then(|| Self {
            host: host.into(),
            port,
        })
    }

    /// Reads `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // The colons of an IPv6 address without a port.
            Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => i32::from(DEFAULT_PORT),
        };
        Self::new(host, port)
    }
}

impl fmt::Display for Endpoint {
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

    fn shown(text: &str) -> Option<String> {
        Endpoint::parse(text).map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn hosts_and_addresses_are_read_with_and_without_a_port() {
        assert_eq!(shown("kafka:9093").as_deref(), Some("kafka:9093"));
        assert_eq!(shown("kafka").as_deref(), Some("kafka:9092"));
        assert_eq!(shown("[::1]:9093").as_deref(), Some("[::1]:9093"));
        assert_eq!(shown("::1").as_deref(), Some("[::1]:9092"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":9092",
            "kafka:",
            "kafka:port",
            "kafka:0",
            "kafka:70000",
            "a b:1",
        ] {
            assert_eq!(shown(text), None, "{text:?}");
        }
        assert_eq!(Endpoint::new("kafka", -1), None);
        assert_eq!(Endpoint::new("kafka\n", 9092), None);
    }
}
