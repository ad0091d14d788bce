//! One question to one replica.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use zeron_core::workload::ProbeCheck;

use super::{Target, grpc};

/// Why a replica is not ready.
#[derive(Debug, Error)]
pub(super) enum NotReady {
    #[error("connect failed")]
    Connect(#[source] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("no http was spoken")]
    Http(#[source] hyper::Error),
    #[error("the question cannot be asked")]
    Question(#[source] http::Error),
    #[error("it answered {0}")]
    Status(u16),
    #[error("something else answered in its place")]
    Stranger,
    #[error("it does not serve")]
    NotServing,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Ready,
    NotReady,
    /// Somebody in between may have answered for it: a mesh that lets nobody through.
    Refused,
}

/// Whether the replica answers as it should. `patience` bounds the connect.
pub(super) async fn check(target: &Target, patience: Duration) -> Finding {
    let asked = tokio::time::timeout(target.probe.timeout, ask(target, patience));
    let answer = asked.await.unwrap_or(Err(NotReady::Timeout));
    if let Err(error) = &answer {
        let error = error as &dyn std::error::Error;
        tracing::trace!(address = %target.address, error, "not ready");
    }
    let is_strict = matches!(target.probe.check, ProbeCheck::HttpBody { .. });
    match answer {
        Ok(()) => Finding::Ready,
        Err(NotReady::Status(502 | 503)) if is_strict => Finding::Refused,
        Err(_) => Finding::NotReady,
    }
}

async fn ask(target: &Target, patience: Duration) -> Result<(), NotReady> {
    let at = |port: Option<NonZeroU16>| {
        let port = port.map_or(target.address.port(), NonZeroU16::get);
        SocketAddr::new(target.address.ip(), port)
    };
    match &target.probe.check {
        ProbeCheck::Started => Ok(()),
        ProbeCheck::Tcp { port } => connect(at(*port), patience).await.map(drop),
        ProbeCheck::Http {
            path,
            headers,
            port,
        } => {
            let address = at(*port);
            let stream = connect(address, patience).await?;
            match http(stream, address, path, headers, false).await?.status {
                200..=399 => Ok(()),
                status => Err(NotReady::Status(status)),
            }
        }
        ProbeCheck::HttpBody {
            path,
            headers,
            body,
        } => {
            let stream = connect(target.address, patience).await?;
            let answer = http(stream, target.address, path, headers, true).await?;
            match answer.status {
                200 if answer.body == *body => Ok(()),
                200 => Err(NotReady::Stranger),
                status => Err(NotReady::Status(status)),
            }
        }
        ProbeCheck::Grpc { service, port } => {
            let stream = connect(at(*port), patience).await?;
            grpc::check(stream, service).await
        }
    }
}

async fn connect(address: SocketAddr, patience: Duration) -> Result<TcpStream, NotReady> {
    let stream = tokio::time::timeout(patience, TcpStream::connect(address))
        .await
        .map_err(|_| NotReady::Timeout)?
        .map_err(NotReady::Connect)?;
    stream.set_nodelay(true).map_err(NotReady::Connect)?;
    Ok(stream)
}

/// What was answered.
struct Answer {
    status: u16,
    /// Empty where nobody wanted it.
    body: Bytes,
}

/// Bytes of a body that are read.
const MAX_BODY: usize = 1024;

/// Asks; a redirect is not followed.
async fn http(
    stream: TcpStream,
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
    reads_body: bool,
) -> Result<Answer, NotReady> {
    let mut request = Request::get(path)
        .body(Empty::<Bytes>::new())
        .map_err(NotReady::Question)?;
    *request.headers_mut() = fields(address, headers);
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(NotReady::Http)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(NotReady::Http)?;
        let status = answer.status().as_u16();
        if !reads_body {
            let body = Bytes::new();
            return Ok(Answer { status, body });
        }
        let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
        // One that is too long, or breaks off, is none that anybody waits for.
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answer { status, body })
    };
    let mut answer = pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The answer may have been the last that came, and an error concerns it too.
        _ = connection => answer.await,
    }
}

/// What is asked with: what was declared, over what everybody gets.
fn fields(address: SocketAddr, declared: &[(String, String)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in declared {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            fields.append(name, value);
        }
    }
    let host = HeaderValue::from_str(&address.to_string());
    let usual = [
        (HOST, host.unwrap_or(HeaderValue::from_static("localhost"))),
        (USER_AGENT, HeaderValue::from_static("zeron-probe")),
        (ACCEPT, HeaderValue::from_static("*/*")),
    ];
    for (name, value) in usual {
        fields.entry(name).or_insert(value);
    }
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    fields
}
