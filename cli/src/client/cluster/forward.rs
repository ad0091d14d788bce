//! A port of a pod through the API server: `pods/portforward` over a WebSocket, as `kubectl port-forward` uses it.
//!
//! The protocol is Kubernetes' `v4.channel.k8s.io`: each binary frame begins with the number of its
//! channel, 0 for data and 1 for a complaint, and the first frame of each only repeats the port.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Limited};
use hyper::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::client::escape;

const PROTOCOL: &str = "v4.channel.k8s.io";
const DATA: u8 = 0;
const COMPLAINT: u8 = 1;
/// Bytes of one frame of ours, and those that wait on either side.
const CHUNK: usize = 32 << 10;
/// Largest frame that is taken.
const MAX_FRAME: usize = 4 << 20;
/// Largest refusal that is read, in bytes.
const MAX_REFUSAL: usize = 64 << 10;

/// A port of a pod.
#[derive(Clone)]
pub(crate) struct PodPort {
    pub(crate) client: kube::Client,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) port: u16,
}

/// Why a port is not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// The API server, or the node behind it, says why.
    #[error("{message}")]
    Refused {
        /// The status code.
        code: u16,
        /// In words.
        message: String,
    },
    /// Nobody answers.
    #[error("the API server cannot be reached")]
    Unreachable(#[source] Box<kube::Error>),
    /// Something between does not let WebSockets pass.
    #[error("the way to the API server does not let WebSockets pass")]
    Upgrade(#[source] Option<Box<hyper::Error>>),
}

impl ForwardError {
    /// Whether rights are missing.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: 401 | 403,
                ..
            }
        )
    }
}

impl fmt::Debug for PodPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}:{}", self.port)
    }
}

impl fmt::Display for PodPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.pod)
    }
}

impl PodPort {
    /// Opens a connection to it.
    pub(crate) async fn open(&self) -> Result<Forwarded, ForwardError> {
        let key = generate_key();
        let sent = self.client.send(self.request(&key)).await;
        let response = sent.map_err(|error| ForwardError::Unreachable(Box::new(error)))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        let header = |name| response.headers().get(name).and_then(|it| it.to_str().ok());
        let is_meant = header(SEC_WEBSOCKET_ACCEPT)
            == Some(derive_accept_key(key.as_bytes()).as_str())
            && header(SEC_WEBSOCKET_PROTOCOL) == Some(PROTOCOL);
        if !is_meant {
            return Err(ForwardError::Upgrade(None));
        }
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(|error| ForwardError::Upgrade(Some(Box::new(error))))?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME));
        let socket = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(socket, Role::Client, Some(limits)).await;
        let (near, far) = tokio::io::duplex(CHUNK);
        let complaint = Arc::default();
        tokio::spawn(pump(socket, far, Arc::clone(&complaint)));
        Ok(Forwarded { near, complaint })
    }

    fn request(&self, key: &str) -> Request<Body> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/portforward?ports={}",
            escape(&self.namespace),
            escape(&self.pod),
            self.port
        );
        Request::get(path)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, key)
            .header(SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
            .body(Body::empty())
            .expect("escaped names are part of a URI")
    }
}

async fn refusal(response: Response<Body>) -> ForwardError {
    let status = response.status();
    let message = message(response).await;
    ForwardError::Refused {
        code: status.as_u16(),
        message: message.unwrap_or_else(|| format!("the API server answered {status}")),
    }
}

/// The words of a refusal of the API server.
pub(super) async fn message(response: Response<Body>) -> Option<String> {
    let body = Limited::new(response.into_body(), MAX_REFUSAL);
    let bytes = body.collect().await.ok()?.to_bytes();
    let status: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    status["message"].as_str().map(str::to_owned)
}

/// Carries bytes both ways until either side ends.
async fn pump(
    socket: WebSocketStream<TokioIo<Upgraded>>,
    pipe: DuplexStream,
    complaint: Arc<OnceLock<String>>,
) {
    let (mut sink, mut frames) = socket.split();
    let (mut near, mut to_near) = tokio::io::split(pipe);
    let there = async {
        let mut frame = vec![DATA; CHUNK + 1];
        // An error: the near side is gone.
        while let Ok(count @ 1..) = near.read(&mut frame[1..]).await {
            let message = Message::Binary(frame[..=count].to_vec().into());
            if sink.send(message).await.is_err() {
                return;
            }
        }
        sink.send(Message::Close(None)).await.ok();
    };
    let back = async {
        let mut channels = Channels::default();
        while let Some(Ok(frame)) = frames.next().await {
            let Message::Binary(bytes) = frame else {
                continue;
            };
            match channels.read(&bytes) {
                Some(Carried::Data(data)) => match to_near.write_all(data).await {
                    Ok(()) => {}
                    Err(_) => return,
                },
                Some(Carried::Complaint(text)) => {
                    // Only the first counts: the port is of no use any more.
                    complaint.set(text).ok();
                    return;
                }
                None => {}
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

/// Which channels have begun.
#[derive(Debug, Default)]
struct Channels {
    is_begun: [bool; 2],
}

/// What a frame carries.
#[derive(Debug, PartialEq, Eq)]
enum Carried<'f> {
    Data(&'f [u8]),
    Complaint(String),
}

impl Channels {
    /// `None`: nothing for anybody.
    fn read<'f>(&mut self, frame: &'f [u8]) -> Option<Carried<'f>> {
        let (channel, bytes) = frame.split_first()?;
        let is_begun = self.is_begun.get_mut(usize::from(*channel))?;
        if !std::mem::replace(is_begun, true) || bytes.is_empty() {
            return None;
        }
        match *channel {
            COMPLAINT => Some(Carried::Complaint(
                String::from_utf8_lossy(bytes).trim().to_owned(),
            )),
            _ => Some(Carried::Data(bytes)),
        }
    }
}

/// A connection to a port of a pod. What the node complains of is the error of its end.
#[derive(Debug)]
pub(crate) struct Forwarded {
    near: DuplexStream,
    complaint: Arc<OnceLock<String>>,
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.near).poll_read(context, buffer);
        let is_end = buffer.filled().len() == before && buffer.remaining() > 0;
        match (read, self.complaint.get()) {
            (Poll::Ready(Ok(())), Some(text)) if is_end => {
                Poll::Ready(Err(io::Error::other(text.clone())))
            }
            (read, _) => read,
        }
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.near).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.near).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_first_frame_of_a_channel_is_its_port_and_carries_nothing() {
        let mut channels = Channels::default();
        assert_eq!(channels.read(&[0, 0x92, 0x1f]), None);
        assert_eq!(channels.read(&[1, 0x92, 0x1f]), None);
        assert_eq!(channels.read(b"\0HTTP"), Some(Carried::Data(b"HTTP")));
        let complaint = Carried::Complaint("refused".to_owned());
        assert_eq!(channels.read(b"\x01refused\n"), Some(complaint));
    }

    #[test]
    fn frames_of_no_channel_are_nobodys() {
        let mut channels = Channels::default();
        assert_eq!(channels.read(&[]), None);
        assert_eq!(channels.read(&[7, 1, 2]), None);
    }

    #[tokio::test]
    async fn the_end_of_a_connection_says_what_the_node_complained_of() {
        let (near, far) = tokio::io::duplex(64);
        let complaint = Arc::new(OnceLock::new());
        let mut forwarded = Forwarded {
            near,
            complaint: Arc::clone(&complaint),
        };
        complaint.set("connection refused".to_owned()).unwrap();
        drop(far);
        let mut bytes = Vec::new();
        let error = forwarded.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!(error.to_string(), "connection refused");
    }

    #[tokio::test]
    async fn without_a_complaint_an_end_is_only_an_end() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut forwarded = Forwarded {
            near,
            complaint: Arc::default(),
        };
        far.write_all(b"all").await.unwrap();
        drop(far);
        let mut bytes = Vec::new();
        forwarded.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"all");
    }
}
