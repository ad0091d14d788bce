//! Which header fields are whose.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};

/// What is done with a header field on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Passed on unchanged.
    Ordinary,
    /// Concerns one connection only.
    HopByHop,
    /// Concerns one connection, but for `trailers`.
    Te,
    /// Spoken between parts of a platform; from a client it is a forgery.
    Internal,
    /// What a proxy says about its client.
    Forwarded,
}

/// The kind of a header field. Frameworks read `_` as `-`, so both count as the same here.
pub(super) fn kind(name: &HeaderName) -> Kind {
    let name = name.as_str();
    match name.as_bytes().first() {
        Some(b'c' | b'e' | b'f' | b'h' | b'k' | b'p' | b't' | b'u' | b'x') => {}
        _ => return Kind::Ordinary,
    }
    if name.contains('_') {
        return kind_of(&name.replace('_', "-"));
    }
    kind_of(name)
}

fn kind_of(name: &str) -> Kind {
    match name {
        "te" => Kind::Te,
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "proxy-authorization"
        | "proxy-authenticate"
        | "proxy-authentication-info"
        | "transfer-encoding"
        | "upgrade"
        | "http2-settings"
        | "expect" => Kind::HopByHop,
        "k-proxy-request" | "k-original-host" | "k-network-probe" | "k-network-hash"
        | "k-kubelet-probe" | "k-passthrough-lb" => Kind::Internal,
        "forwarded" | "x-real-ip" | "x-original-host" | "x-original-forwarded-for" => {
            Kind::Forwarded
        }
        _ if name.starts_with("knative-serving-")
            || name.starts_with("x-keda-http-")
            || name.starts_with("x-zeron-") =>
        {
            Kind::Internal
        }
        _ if name.starts_with("x-forwarded-") => Kind::Forwarded,
        _ => Kind::Ordinary,
    }
}

/// Whether a field does not go on to a queue-proxy: what concerns one connection only, and what
/// gateways, activators and probes say to each other. The rest of `K-` and `Knative-Serving-` is
/// for it.
pub(super) fn ends_at_activator(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.as_bytes().first() {
        Some(b'c' | b'e' | b'h' | b'k' | b'p' | b't' | b'u' | b'x') => {}
        _ => return false,
    }
    matches!(kind_of(name), Kind::HopByHop | Kind::Te)
        || matches!(
            name,
            "knative-serving-namespace"
                | "knative-serving-revision"
                | "k-proxy-request"
                | "k-network-probe"
                | "k-network-hash"
                | "k-kubelet-probe"
                | "k-passthrough-lb"
        )
        || name.starts_with("x-zeron-")
}

/// Whether a field of an answer is ours alone to set.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-zeron-")
}

/// Whether a field stays although `Connection` names it.
pub(super) fn is_protected(name: &HeaderName) -> bool {
    kind(name) == Kind::Forwarded
        || matches!(
            name.as_str(),
            "host"
                | "content-length"
                | "content-type"
                | "content-encoding"
                | "authorization"
                | "cookie"
                | "origin"
                | "via"
                | "traceparent"
                | "tracestate"
                | "x-request-id"
                | "transfer-encoding"
                | "set-cookie"
                | "trailer"
                | "te"
        )
}

/// The tokens of all `Connection` fields.
pub(super) fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

pub(super) fn connection_has(headers: &HeaderMap, token: &str) -> bool {
    connection_tokens(headers).any(|named| named.eq_ignore_ascii_case(token.as_bytes()))
}
