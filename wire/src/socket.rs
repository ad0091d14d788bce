//! What both ends of a connection share: the stream, its limits, how long silence may last.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::codec::{DecodeError, MAX_FRAME};

/// Where autoscalers listen for activators, and which protocol is spoken there.
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
    #[error("the peer speaks version {0}")]
    Version(u32),
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

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
