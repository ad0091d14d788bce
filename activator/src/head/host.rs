//! Which host a request is for: one winner, or a refusal.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Version};

use crate::cause::Cause;

/// The host that a request is for.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    /// What the function gets as `Host`, port included.
    pub(crate) value: HeaderValue,
    /// Length of the name within `value`.
    name: usize,
}

impl Authority {
    /// The name alone: without port and without the dot of a full name.
    pub(crate) fn name(&self) -> &str {
        let name = self.value.to_str().unwrap_or_default();
        let name = name.get(..self.name).unwrap_or_default();
        name.strip_suffix('.').unwrap_or(name)
    }
}

/// The authority of the request target, else `Host` (RFC 9112 3.2.2). HTTP/1.0 may name none.
pub(crate) fn authority(parts: &Parts) -> Result<Authority, Cause> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Cause::BadRequest);
    }
    let value = match (parts.uri.authority(), host) {
        (Some(target), _) => {
            HeaderValue::from_str(target.as_str()).map_err(|_| Cause::BadRequest)?
        }
        (None, Some(host)) => host.clone(),
        (None, None) if parts.version == Version::HTTP_10 => HeaderValue::from_static(""),
        (None, None) => return Err(Cause::BadRequest),
    };
    // HTTP/1.1 wants the field even where the target names the host.
    if host.is_none() && parts.version == Version::HTTP_11 {
        return Err(Cause::BadRequest);
    }
    let name = name_length(value.as_bytes()).ok_or(Cause::BadRequest)?;
    Ok(Authority { value, name })
}

/// Length of the host in `host[:port]`; `None` when it is malformed.
fn name_length(authority: &[u8]) -> Option<usize> {
    let (name, rest) = match authority.first() {
        Some(b'[') => {
            let end = authority.iter().position(|byte| *byte == b']')?;
            let is_address = authority[1..end]
                .iter()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            (end > 1 && is_address).then_some(())?;
            authority.split_at(end + 1)
        }
        _ => {
            let end = authority
                .iter()
                .position(|byte| *byte == b':')
                .unwrap_or(authority.len());
            let (name, rest) = authority.split_at(end);
            name.iter().all(|byte| is_host_byte(*byte)).then_some(())?;
            (!name.is_empty() || rest.is_empty()).then_some(())?;
            (name, rest)
        }
    };
    let is_port = match rest {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_port.then_some(name.len())
}

/// Names, and what RFC 3986 allows beside them that no parser reads otherwise.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'+')
}
