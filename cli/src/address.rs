//! Where the admin API is: a TCP address or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the admin API listens (`up`) or is reached (every other command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    /// `http://HOST:PORT` or `HOST:PORT`; the host may be a name.
    Tcp(String),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// Why a text is no admin address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    /// No port.
    #[error("no port: expected HOST:PORT, http://HOST:PORT or unix:PATH")]
    NoPort,
    /// `unix:` alone.
    #[error("no path after `unix:`")]
    NoPath,
    /// TLS, or something else.
    #[error("scheme `{0}` is not supported: expected http://HOST:PORT or unix:PATH")]
    Scheme(String),
}

impl FromStr for AdminAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(AddressError::NoPath)
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            };
        }
        let authority = match text.split_once("://") {
            Some(("http", rest)) => rest.trim_end_matches('/'),
            Some((scheme, _)) => return Err(AddressError::Scheme(scheme.to_owned())),
            None => text,
        };
        match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(authority.to_owned()))
            }
            _ => Err(AddressError::NoPort),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for AdminAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_documented_form() {
        let tcp = AdminAddress::Tcp("127.0.0.1:8081".to_owned());
        assert_eq!("http://127.0.0.1:8081".parse(), Ok(tcp.clone()));
        assert_eq!("http://127.0.0.1:8081/".parse(), Ok(tcp.clone()));
        assert_eq!("127.0.0.1:8081".parse(), Ok(tcp));
        assert_eq!(
            "[::1]:1".parse(),
            Ok(AdminAddress::Tcp("[::1]:1".to_owned()))
        );
        assert_eq!(
            "unix:/run/z".parse(),
            Ok(AdminAddress::Unix(PathBuf::from("/run/z")))
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        let parse = |text: &str| text.parse::<AdminAddress>().unwrap_err();
        assert_eq!(parse("localhost"), AddressError::NoPort);
        assert_eq!(parse("unix:"), AddressError::NoPath);
        assert_eq!(
            parse("https://a:1"),
            AddressError::Scheme("https".to_owned())
        );
    }
}
