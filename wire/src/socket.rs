//! What both ends of a connection share: the stream, its limits, how long silence may last.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::codec::{DecodeError, MAX_FRAME};
use crate::version::Versions;

/// Where autoscalers listen for activators. The same for all versions: they are agreed upon by
/// hello and welcome.
pub(crate) const PATH: &str = "/zeron.v1";
/// How often an activator asks whether an autoscaler is there.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(1);
/// A peer that says nothing for so long is gone, and a write that takes so long has failed.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);

/// TCP, or TLS over it.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

pub(crate) type Stream = Box<dyn Wire>;
pub(crate) type Socket = WebSocketStream<Stream>;

/// Nothing longer than a frame is ever kept.
pub(crate) fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

/// Small frames leave at once.
pub(crate) fn hurry(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
}

/// Writes a message, in time.
pub(crate) async fn send<S>(sink: &mut S, message: Message) -> Result<(), Ended>
where
    S: Sink<Message, Error = SocketError> + Unpin,
{
    let sent = timeout(SILENCE, sink.send(message)).await;
    Ok(sent.map_err(|_| Ended::Late)??)
}

/// Writes a frame as `versions` say it.
pub(crate) async fn say<S>(sink: &mut S, versions: Versions, frame: Bytes) -> Result<(), Ended>
where
    S: Sink<Message, Error = SocketError> + Unpin,
{
    #[cfg(debug_assertions)]
    let (frame, more) = crate::ahead::said(versions, frame);
    #[cfg(not(debug_assertions))]
    let (more, _) = (None, versions);
    send(sink, Message::Binary(frame)).await?;
    match more {
        Some(more) => send(sink, Message::Binary(more)).await,
        None => Ok(()),
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("no answer in time")]
    Late,
    #[error("nothing was heard for {SILENCE:?}")]
    Silent,
    #[error("the connection failed")]
    Socket(#[source] Box<SocketError>),
    #[error("the peer closed the connection: {0}")]
    Closed(String),
    #[error("a frame was not understood")]
    Frame(#[from] DecodeError),
    #[error("a frame out of order: {0}")]
    Order(&'static str),
    #[error("no version of the protocol in common: {ours} here, {theirs} there")]
    Versions { ours: Versions, theirs: Versions },
    #[error("the autoscaler chose version {0}, which was not offered")]
    Chosen(u32),
    #[error("the token is not fit for a header")]
    Token,
    #[error("this end is done")]
    Done,
}

impl From<SocketError> for Ended {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::ConnectionClosed | SocketError::AlreadyClosed => {
                Self::Closed("no reason given".to_owned())
            }
            error => Self::Socket(Box::new(error)),
        }
    }
}
