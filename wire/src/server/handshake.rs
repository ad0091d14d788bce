//! The HTTP request that opens a connection: bounded, authenticated, then upgraded.

use std::net::SocketAddr;

use bytes::BytesMut;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Authenticate, Identity, Refused};
use crate::socket::{Ended, PATH, Socket, Stream, limits};

/// The longest request head.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Why the request is answered with a status.
#[derive(Debug, thiserror::Error)]
#[error("refused with {status}: {why}")]
pub(crate) struct Turned {
    pub(crate) status: StatusCode,
    pub(crate) why: String,
}

impl Turned {
    pub(crate) fn new(status: StatusCode, why: &str) -> Self {
        let why = why.to_owned();
        Self { status, why }
    }
}

impl From<Refused> for Turned {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Refused::Forbidden(_) => StatusCode::FORBIDDEN,
            Refused::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, &refused.to_string())
    }
}

/// Reads the request, asks who it is, and only then speaks WebSocket.
pub(super) async fn upgrade(
    mut stream: Stream,
    peer: SocketAddr,
    authenticate: &dyn Authenticate,
) -> Result<(Socket, Identity), Ended> {
    match open(&mut stream, authenticate).await {
        Ok((identity, rest)) => {
            let config = Some(limits());
            let socket =
                WebSocketStream::from_partially_read(stream, rest, Role::Server, config).await;
            Ok((socket, identity))
        }
        Err(Opening::Failed(error)) => Err(Ended::Connect(error)),
        Err(Opening::Turned(turned)) => {
            tracing::debug!(%peer, status = %turned.status, "an activator is turned away");
            refuse(&mut stream, turned.status).await?;
            Err(Ended::Closed(turned.to_string()))
        }
    }
}

pub(crate) enum Opening {
    Failed(std::io::Error),
    Turned(Turned),
}

impl From<std::io::Error> for Opening {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Turned> for Opening {
    fn from(turned: Turned) -> Self {
        Self::Turned(turned)
    }
}

impl From<Refused> for Opening {
    fn from(refused: Refused) -> Self {
        Self::Turned(refused.into())
    }
}

async fn open(
    stream: &mut Stream,
    authenticate: &dyn Authenticate,
) -> Result<(Identity, Vec<u8>), Opening> {
    let (request, rest) = read_request(stream).await?;
    if request.uri().path() != PATH {
        return Err(Turned::new(StatusCode::NOT_FOUND, "another path").into());
    }
    let head = switching(&request)?;
    let identity = authenticate.check(bearer(&request)).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    Ok((identity, rest))
}

/// The answer to a request that asks for WebSocket.
pub(crate) fn switching(request: &Request<()>) -> Result<String, Turned> {
    let response = create_response(request)
        .map_err(|error| Turned::new(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let accept = response.headers().get("sec-websocket-accept");
    let accept = accept.and_then(|it| it.to_str().ok()).unwrap_or_default();
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    ))
}

fn bearer(request: &Request<()>) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The request's head, and what came behind it.
pub(crate) async fn read_request(stream: &mut Stream) -> Result<(Request<()>, Vec<u8>), Opening> {
    let mut buffer = BytesMut::with_capacity(1_024);
    loop {
        if let Some((request, length)) = parse(&buffer)? {
            return Ok((request, buffer[length..].to_vec()));
        }
        if buffer.len() >= MAX_HEAD {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Turned::new(status, "the head is too long").into());
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// `None` while it is not all there.
fn parse(buffer: &[u8]) -> Result<Option<(Request<()>, usize)>, Turned> {
    let bad = |why: &str| Turned::new(StatusCode::BAD_REQUEST, why);
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(bad(&error.to_string())),
    };
    let method = head.method.and_then(|it| Method::try_from(it).ok());
    let mut request = Request::builder()
        .method(method.ok_or_else(|| bad("no method"))?)
        .uri(head.path.unwrap_or_default())
        .version(if head.version == Some(1) {
            Version::HTTP_11
        } else {
            Version::HTTP_10
        });
    for header in head.headers.iter() {
        let name = HeaderName::try_from(header.name).map_err(|_| bad("a header's name"))?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| bad("a header's value"))?;
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|error| bad(&error.to_string()))?;
    Ok(Some((request, length)))
}

/// Answers with a status alone, and ends the connection.
pub(crate) async fn refuse(stream: &mut Stream, status: StatusCode) -> Result<(), Ended> {
    let challenge = if status == StatusCode::UNAUTHORIZED {
        "www-authenticate: Bearer\r\n"
    } else {
        ""
    };
    let head =
        format!("HTTP/1.1 {status}\r\n{challenge}content-length: 0\r\nconnection: close\r\n\r\n");
    let written = async {
        stream.write_all(head.as_bytes()).await?;
        stream.shutdown().await
    };
    written.await.map_err(Ended::Connect)
}
