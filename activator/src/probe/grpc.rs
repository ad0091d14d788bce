//! `grpc.health.v1.Health/Check` over HTTP/2 without TLS.
//!
//! Protocol: <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>. The two messages have
//! one field each, so that they are written and read by hand.

use std::pin::pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::check::NotReady;

/// `HealthCheckResponse.status` when it serves.
const SERVING: u64 = 1;

/// An answer has a handful of bytes.
const MAX_ANSWER: usize = 4096;

/// Whether `service` (empty: the server) says that it serves.
pub(super) async fn check(stream: TcpStream, service: &str) -> Result<(), NotReady> {
    let request = Request::post("http://localhost/grpc.health.v1.Health/Check")
        .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(TE, HeaderValue::from_static("trailers"))
        .body(Full::new(question(service)))
        .map_err(NotReady::Question)?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(NotReady::Http)?;
    let mut ask = pin!(async {
        let answer = sender.send_request(request).await.map_err(NotReady::Http)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|_| NotReady::NotServing)?;
        let is_ok = body.trailers().map_or(is_ok(&head.headers), is_ok);
        (is_ok && is_serving(&body.to_bytes()))
            .then_some(())
            .ok_or(NotReady::NotServing)
    });
    tokio::select! {
        answer = &mut ask => answer,
        // The answer may have been the last that came, and an error concerns it too.
        _ = connection => ask.await,
    }
}

fn is_ok(headers: &HeaderMap) -> bool {
    headers
        .get("grpc-status")
        .is_none_or(|status| status.as_bytes() == b"0")
}

/// One uncompressed message: `service` is field 1 of `HealthCheckRequest`.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.unsplit(message);
    framed.freeze()
}

/// Reads `HealthCheckResponse`: `status` is field 1.
fn is_serving(framed: &[u8]) -> bool {
    let Some((&[0, a, b, c, d], rest)) = framed.split_first_chunk::<5>() else {
        return false;
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let Some(mut message) = rest.get(..length) else {
        return false;
    };
    let mut status = 0;
    while let Some((&tag, more)) = message.split_first() {
        // Nothing but varints is expected; whatever else comes is not for us to skip.
        let Some((value, more)) = varint(more).filter(|_| tag & 7 == 0) else {
            return false;
        };
        if tag >> 3 == 1 {
            status = value;
        }
        message = more;
    }
    status == SERVING
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.put_u8(u8::try_from(value).unwrap_or(0));
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(place).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_its_service() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("ab")[..], [0, 0, 0, 0, 4, 10, 2, b'a', b'b']);
        let long = question(&"x".repeat(200));
        assert_eq!(long[5..8], [10, 0xc8, 1]);
    }

    #[test]
    fn only_serving_serves() {
        assert!(is_serving(&[0, 0, 0, 0, 2, 8, 1]));
        for answer in [
            &[][..],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[0, 0, 0, 0, 9, 8, 1],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 2, 8, 0x81],
        ] {
            assert!(!is_serving(answer), "{answer:?}");
        }
    }
}
