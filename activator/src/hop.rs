//! The hop of a request to the activator that owns a replica: what is said beside the request, and
//! what is read from the answer.
//!
//! All of it is in headers of a prefix that no client and no function gets through. A request that
//! came by a hop goes no further: either this activator serves it, or says that it should not have
//! come ([`Cause::Misdirected`]), and its sender decides again.

mod arrive;
mod send;

use std::time::Duration;

use http::header::{EXPECT, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use zeron_core::FunctionId;

use crate::admit::Limits;
use crate::body::{AnswerBody, RequestBody};
use crate::cause::Cause;
use crate::claims;
use crate::refusal::{REASON, Refusal, percent_encode};

/// Which function.
const FUNCTION: HeaderName = HeaderName::from_static("x-zeron-hop");
/// What is left of its time: queue, request, response start; milliseconds or `-`.
const LIMITS: HeaderName = HeaderName::from_static("x-zeron-hop-limits");
/// Requests at the owner and waiting there.
const LOAD: HeaderName = HeaderName::from_static("x-zeron-hop-load");
/// It found no replica ready.
const COLD: HeaderName = HeaderName::from_static("x-zeron-hop-cold");
/// What a refusal says, percent-encoded.
const MESSAGE: HeaderName = HeaderName::from_static("x-zeron-hop-message");

/// A request that another activator sent.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) function: FunctionId,
    pub(crate) limits: Limits,
}

/// What the owner made of a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Its replica answered.
    Answered {
        load: Option<u32>,
        is_cold: bool,
    },
    /// None of the replicas is its own, and nothing was done.
    Misdirected,
    Refused(Refusal),
}

/// Says beside the request what its owner has to know. A body is held back until it is wanted.
pub(crate) fn address(request: &mut Request<RequestBody>, function: &FunctionId, limits: &Limits) {
    let holds_body = request.body().is_lent() && request.version() < http::Version::HTTP_2;
    let headers = request.headers_mut();
    let milliseconds = |limit: Option<Duration>| {
        limit.map_or("-".to_owned(), |limit| limit.as_millis().to_string())
    };
    let limits = [
        Some(limits.queue),
        Some(limits.request),
        limits.response_start,
    ]
    .map(milliseconds)
    .join(",");
    for (name, value) in [(FUNCTION, function.to_string()), (LIMITS, limits)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    if holds_body {
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
}

/// Takes back what [`address`] said.
pub(crate) fn unaddress(parts: &mut Parts) {
    for name in [FUNCTION, LIMITS, EXPECT] {
        parts.headers.remove(name);
    }
}

/// Reads what [`address`] said; `None` when that cannot be read.
pub(crate) fn arrival(headers: &HeaderMap) -> Option<Arrival> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
    let mut limits = text(&LIMITS)?.split(',').map(|limit| match limit {
        "-" => Some(None),
        limit => Some(Some(Duration::from_millis(limit.parse().ok()?))),
    });
    Some(Arrival {
        function: claims::parse_id(text(&FUNCTION)?)?,
        limits: Limits {
            queue: limits.next()???,
            request: limits.next()???,
            response_start: limits.next()??,
        },
    })
}

/// Says beside the answer of a replica how things stand here.
pub(crate) fn report(answer: &mut Response<AnswerBody>, load: u32, is_cold: bool) {
    let headers = answer.headers_mut();
    headers.insert(LOAD, HeaderValue::from(load));
    if is_cold {
        headers.insert(COLD, HeaderValue::from_static("1"));
    }
}

/// Tells the sender of a refusal, in its own words: it makes the answer.
pub(crate) fn refuse(refusal: &Refusal) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = refusal.cause.status();
    let headers = answer.headers_mut();
    headers.insert(REASON, HeaderValue::from_static(refusal.cause.as_str()));
    if let Some(wait) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    let message = refusal.message.as_deref().map(percent_encode);
    if let Some(Ok(message)) = message.map(HeaderValue::try_from) {
        headers.insert(MESSAGE, message);
    }
    answer
}

/// Reads what the owner said beside its answer.
pub(crate) fn reply(answer: &Response<Incoming>) -> Reply {
    let headers = answer.headers();
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let Some(reason) = headers.get(REASON) else {
        return Reply::Answered {
            load: text(LOAD).and_then(|load| load.parse().ok()),
            is_cold: headers.contains_key(COLD),
        };
    };
    match Cause::named(reason.as_bytes()) {
        Some(Cause::Misdirected) => Reply::Misdirected,
        cause => {
            let mut refusal = Refusal::new(cause.unwrap_or(Cause::UpstreamFailed));
            let seconds = text(RETRY_AFTER).and_then(|wait| wait.parse().ok());
            refusal.retry_after = seconds.map(Duration::from_secs);
            match text(MESSAGE) {
                Some(message) => Reply::Refused(refusal.message(&percent_decode(message))),
                None => Reply::Refused(refusal),
            }
        }
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        let coded = (byte == b'%').then(|| std::str::from_utf8(more.get(..2)?).ok());
        let coded = coded
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(coded.unwrap_or(byte));
        rest = if coded.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_beside_a_request_is_read_again() {
        let function = FunctionId::new("a", "Rollout.argoproj.io", "b");
        let limits = Limits {
            queue: Duration::from_millis(30),
            request: Duration::from_secs(9),
            response_start: None,
        };
        let mut request = Request::new(RequestBody::empty());
        address(&mut request, &function, &limits);
        let arrived = arrival(request.headers()).unwrap();
        assert_eq!((arrived.function, arrived.limits), (function, limits));
        let (mut parts, _) = request.into_parts();
        unaddress(&mut parts);
        assert!(parts.headers.is_empty());
        assert!(arrival(&parts.headers).is_none());
    }

    #[test]
    fn messages_survive_the_way() {
        for text in ["", "50 %", "ExitCode1: \u{e9}\nline 2", "%zz%"] {
            assert_eq!(percent_decode(&percent_encode(text)), text);
        }
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
    }
}
