//! What a trigger's `host` says: `amqp(s)://user:password@host:port/vhost`, or `http(s)://` with the virtual
//! host as the last segment of its path.

use std::fmt;

use zeron_core::policy::Secret;

use super::escaping;
use crate::http::Url;

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    /// By a passive declare of the queue.
    Amqp,
    /// By the management API.
    Http,
}

/// A `host` that was understood.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) protocol: Protocol,
    pub(super) is_tls: bool,
    /// Name or address; an IPv6 address without brackets.
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) user: Option<Secret>,
    pub(super) password: Option<Secret>,
    /// Of the management API: what comes before `/api`, percent-encoded; empty or `/something`.
    pub(super) prefix: String,
    /// The virtual host, decoded.
    pub(super) vhost: String,
    /// Whether the query says `auth_mechanism=external`.
    pub(super) is_external: bool,
}

/// Shows no credentials.
impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("protocol", &self.protocol)
            .field("name", &self.name)
            .field("port", &self.port)
            .field("vhost", &self.vhost)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Reads a URI.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text)
            .map_err(|_| "is no URI such as amqp://user:password@host:5672/vhost")?;
        let (protocol, is_tls, port) = match url.scheme() {
            "amqp" => (Protocol::Amqp, false, 5672),
            "amqps" => (Protocol::Amqp, true, 5671),
            "http" => (Protocol::Http, false, 80),
            "https" => (Protocol::Http, true, 443),
            _ => return Err("begins with none of amqp://, amqps://, http://, https://"),
        };
        let name = url.host_str().unwrap_or("");
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if name.is_empty() {
            return Err("names no host");
        }
        let part = |text: &str| escaping::decode(text).ok_or("is not percent-encoded as a URI is");
        let user = Some(url.username()).filter(|it| !it.is_empty());
        let (prefix, vhost) = split_path(protocol, url.path());
        let vhost = part(vhost)?;
        let is_external = url.query_pairs().any(|(name, value)| {
            name == "auth_mechanism" && value.eq_ignore_ascii_case("external")
        });
        Ok(Self {
            protocol,
            is_tls,
            name: part(name)?,
            port: url.port().unwrap_or(port),
            user: user.map(part).transpose()?.map(Secret::new),
            password: url.password().map(part).transpose()?.map(Secret::new),
            prefix: prefix.to_owned(),
            vhost: if vhost.is_empty() {
                "/".to_owned()
            } else {
                vhost
            },
            is_external,
        })
    }
}

/// Prefix and virtual host. Over HTTP the last segment is the virtual host, and what is before it leads to the API.
fn split_path(protocol: Protocol, path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').map_or("", |_| path);
    match (protocol, path.rsplit_once('/')) {
        (_, None) => ("", ""),
        (Protocol::Amqp, Some(_)) => ("", &path[1..]),
        (Protocol::Http, Some((prefix, vhost))) => (prefix.trim_end_matches('/'), vhost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_part_of_a_uri_is_read() {
        let host = host("amqps://us%40er:p%2Fw@rabbit.example:1234/my%2Fvhost");
        assert_eq!(host.protocol, Protocol::Amqp);
        assert!(host.is_tls);
        assert_eq!((host.name.as_str(), host.port), ("rabbit.example", 1234));
        assert_eq!(host.user, Some(Secret::new("us@er")));
        assert_eq!(host.password, Some(Secret::new("p/w")));
        assert_eq!(host.vhost, "my/vhost");
        assert!(!host.is_external);
    }

    #[test]
    fn ports_are_those_of_the_scheme() {
        for (text, port) in [
            ("amqp://a", 5672),
            ("amqps://a", 5671),
            ("http://a", 80),
            ("https://a", 443),
            ("amqp://[::1]:5673/", 5673),
        ] {
            assert_eq!(host(text).port, port, "{text}");
        }
        assert_eq!(host("amqp://[::1]/").name, "::1");
    }

    #[test]
    fn virtual_host_is_the_root_unless_it_is_named() {
        for (text, prefix, vhost) in [
            ("amqp://a", "", "/"),
            ("amqp://a/", "", "/"),
            ("amqp://a/%2F", "", "/"),
            ("amqp://a//", "", "/"),
            ("amqp://a/b", "", "b"),
            ("amqp://a/b/c", "", "b/c"),
            ("http://a", "", "/"),
            ("http://a/", "", "/"),
            ("http://a//", "", "/"),
            ("http://a/%2F", "", "/"),
            ("http://a/b", "", "b"),
            ("http://a/b/c", "/b", "c"),
            ("http://a/b/", "/b", "/"),
            ("http://a/b/%2f", "/b", "/"),
        ] {
            let host = host(text);
            assert_eq!(
                (host.prefix.as_str(), host.vhost.as_str()),
                (prefix, vhost),
                "{text}"
            );
        }
    }

    #[test]
    fn external_authentication_may_be_asked_for_in_the_query() {
        assert!(host("amqps://a/v?auth_mechanism=EXTERNAL").is_external);
        assert!(!host("amqps://a/v?auth_mechanism=plain").is_external);
    }

    #[test]
    fn what_is_no_uri_is_refused_without_repeating_it() {
        for text in [
            "",
            "rabbit:5672",
            "rabbit",
            "amqp://",
            "ftp://user:canary@a/",
            "amqp://user:canary@/",
            "amqp://user:canary%zz@a/",
            "amqp://a:port/",
        ] {
            let error = Host::parse(text).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
        let shown = format!("{:?}", host("amqp://canary:canary@a/"));
        assert!(!shown.contains("canary"), "{shown}");
    }
}
