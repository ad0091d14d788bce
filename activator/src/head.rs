//! Request and answer heads: what is refused, what is taken away, what is added.

mod host;
mod names;
#[cfg(test)]
mod tests;
pub(crate) mod trace;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};

use crate::cause::Cause;
use crate::peer::Peer;
pub(crate) use host::{Authority, authority};
use names::Kind;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_KEDA_HTTP_COLD_START: HeaderName = HeaderName::from_static("x-keda-http-cold-start");
const FORWARDED: HeaderName = http::header::FORWARDED;
const K_ORIGINAL_HOST: HeaderName = HeaderName::from_static("k-original-host");
const K_PROXY_REQUEST: HeaderName = HeaderName::from_static("k-proxy-request");
const K_PASSTHROUGH_LB: HeaderName = HeaderName::from_static("k-passthrough-lb");

/// Refuses what no function may see.
pub(crate) fn check(parts: &Parts) -> Result<(), Cause> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Cause::MethodRefused);
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let is_plain = codings
        .next()
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    // We take the framing off and put our own on: another coding would be lost on the way.
    if !is_plain || codings.next().is_some() {
        return Err(Cause::BadRequest);
    }
    Ok(())
}

/// Whether nothing that follows on this connection may be read as a request: it may be meant for
/// another protocol, whether or not that comes about.
pub(crate) fn closes<B>(request: &Request<B>) -> bool {
    request.version() < Version::HTTP_2
        && (request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT)
}

/// Ends the connection after this answer, unless it becomes a tunnel.
pub(crate) fn close<B>(answer: &mut Response<B>) {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The protocol that a client wants to change to, when that is allowed.
pub(crate) fn wanted_upgrade(parts: &Parts, has_body: bool) -> Option<HeaderValue> {
    let protocol = parts.headers.get(UPGRADE)?;
    let is_h2c = protocol
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"h2c"));
    let is_asked =
        parts.version == Version::HTTP_11 && names::connection_has(&parts.headers, "upgrade");
    (is_asked && !is_h2c && !has_body).then(|| protocol.clone())
}

/// Makes a client's head the one that its function gets over HTTP/1.1.
pub(crate) fn forward(parts: &mut Parts, authority: &Authority, peer: &Peer) {
    relay(parts, authority, peer);
    describe(&mut parts.headers, &authority.value, peer);
    trace::ensure(&mut parts.headers);
}

/// The same where another activator has described the client already.
pub(crate) fn relay(parts: &mut Parts, authority: &Authority, peer: &Peer) {
    let is_trusted = peer.is_trusted;
    let is_removed = |name: &HeaderName| match names::kind(name) {
        Kind::Ordinary => false,
        Kind::HopByHop | Kind::Te | Kind::Internal => true,
        Kind::Forwarded => !is_trusted,
    };
    prepare(parts, authority.value.clone(), is_removed);
}

/// Makes the head that a gateway of Knative sent the one that a queue-proxy gets: it says which
/// host was asked for (unless that was said before) and that an activator is in the path, and
/// leaves what was said of the client as it came. `passthrough` is the host of a mesh's gateway
/// that leads to single replicas.
pub(crate) fn forward_to_queue(
    parts: &mut Parts,
    authority: &Authority,
    peer: &Peer,
    passthrough: Option<&HeaderValue>,
) {
    let host = passthrough.unwrap_or(&authority.value).clone();
    prepare(parts, host, names::ends_at_activator);
    let headers = &mut parts.headers;
    if headers
        .get(K_ORIGINAL_HOST)
        .is_none_or(HeaderValue::is_empty)
    {
        headers.insert(K_ORIGINAL_HOST, authority.value.clone());
    }
    headers.insert(K_PROXY_REQUEST, HeaderValue::from_static("activator"));
    if passthrough.is_some() {
        headers.insert(K_PASSTHROUGH_LB, HeaderValue::from_static("true"));
    }
    append_to_list(headers, &X_FORWARDED_FOR, &peer.forwarded_for);
}

/// What every head needs on its way to a replica.
fn prepare(parts: &mut Parts, host: HeaderValue, is_removed: impl Fn(&HeaderName) -> bool) {
    let wants_trailers = strip(&mut parts.headers, is_removed);
    if wants_trailers {
        parts
            .headers
            .insert(TE, HeaderValue::from_static("trailers"));
    }
    parts.headers.insert(HOST, host);
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    parts.version = Version::HTTP_11;
    origin_form(&mut parts.uri);
}

/// Asks the replica to change protocols.
pub(crate) fn ask_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Makes a head for HTTP/1.1 one for HTTP/2 without TLS.
pub(crate) fn to_http2(parts: &mut Parts) {
    let authority = parts.headers.remove(HOST);
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.scheme = Some(http::uri::Scheme::HTTP);
    uri.authority = authority
        .and_then(|host| http::uri::Authority::try_from(host.as_bytes()).ok())
        .or_else(|| Some(http::uri::Authority::from_static("localhost")));
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
    parts.version = Version::HTTP_2;
}

/// Makes a replica's head the one that the client gets.
pub(crate) fn answer(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_connection_named(headers);
    remove_where(headers, |name| {
        matches!(names::kind(name), Kind::HopByHop | Kind::Te) || names::is_ours(name)
    });
}

/// Says in the words of the HTTP add-on whether a request found no replica ready.
pub(crate) fn say_cold_start<B>(answer: &mut Response<B>, is_cold_start: bool) {
    let value = if is_cold_start { "true" } else { "false" };
    let headers = answer.headers_mut();
    headers.insert(X_KEDA_HTTP_COLD_START, HeaderValue::from_static(value));
}

/// Takes away what `Connection` names and what `is_removed` says. Tells whether the client takes
/// trailers.
fn strip(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName) -> bool) -> bool {
    let wants_trailers = headers.get_all(TE).iter().any(|te| {
        te.as_bytes()
            .split(|byte| *byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    remove_connection_named(headers);
    remove_where(headers, is_removed);
    wants_trailers
}

/// Removes what `Connection` names, except what must not be taken away by a client.
fn remove_connection_named(headers: &mut HeaderMap) {
    let Some(only) = headers.get(CONNECTION) else {
        return;
    };
    // Nearly always one of these, which are removed anyway.
    let is_usual = [
        &b"keep-alive"[..],
        b"close",
        b"Upgrade",
        b"upgrade",
        b"Keep-Alive",
    ]
    .contains(&only.as_bytes());
    if is_usual && headers.get_all(CONNECTION).iter().count() == 1 {
        return;
    }
    let named: Vec<HeaderName> = names::connection_tokens(headers)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !names::is_protected(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

fn remove_where(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName) -> bool) {
    // Removing reorders: one at a time. There are hardly ever more than two.
    while let Some(name) = headers.keys().find(|name| is_removed(name)).cloned() {
        headers.remove(name);
    }
}

/// Tells the function about the client: replaces what a stranger said, adds to what a proxy said.
fn describe(headers: &mut HeaderMap, host: &HeaderValue, peer: &Peer) {
    let forwarded = peer.forwarded(host);
    if !peer.is_trusted {
        headers.insert(X_FORWARDED_FOR, peer.forwarded_for.clone());
        headers.insert(X_FORWARDED_HOST, host.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(peer.scheme()));
        headers.insert(FORWARDED, forwarded);
        return;
    }
    append_to_list(headers, &X_FORWARDED_FOR, &peer.forwarded_for);
    append_to_list(headers, &FORWARDED, &forwarded);
    let set = |headers: &mut HeaderMap, name, value| {
        headers.entry(name).or_insert(value);
    };
    set(headers, X_FORWARDED_HOST, host.clone());
    set(
        headers,
        X_FORWARDED_PROTO,
        HeaderValue::from_static(peer.scheme()),
    );
}

fn append_to_list(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name, value.clone());
        return;
    }
    let mut list = headers
        .get_all(name)
        .iter()
        .fold(Vec::new(), |mut list, value| {
            list.extend_from_slice(value.as_bytes());
            list.extend_from_slice(b", ");
            list
        });
    list.extend_from_slice(value.as_bytes());
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        headers.insert(name, list);
    }
}

/// HTTP/2 may split cookies over fields, HTTP/1.1 must not (RFC 9113 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Origin form is what servers expect; the authority is in `Host`.
fn origin_form(uri: &mut Uri) {
    if uri.authority().is_some() {
        let path = std::mem::take(uri).into_parts().path_and_query;
        *uri = path.map(Uri::from).unwrap_or_default();
    }
}
