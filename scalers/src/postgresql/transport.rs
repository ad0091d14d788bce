//! A byte stream to a server, over the network or on this machine, that takes only so much at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use zeron_core::metric::{Unknown, UnknownKind};

use crate::source::unknown;

/// Bytes that a server may send for one batch of queries. The driver keeps a message as a whole, however long
/// it says that it is.
const MAX_BYTES: usize = 16 << 20;

/// What a server may still send.
#[derive(Debug)]
pub(super) struct Allowance(AtomicUsize);

impl Allowance {
    /// All of it again: something else is asked now.
    pub(super) fn renew(&self) {
        self.0.store(MAX_BYTES, Ordering::Relaxed);
    }

    /// Why a connection was lost: by this limit, or for the reason that the driver has.
    pub(super) fn judge(&self, lost: Unknown) -> Unknown {
        if self.0.load(Ordering::Relaxed) > 0 {
            return lost;
        }
        let message = format!("the answer is longer than {} MiB", MAX_BYTES >> 20);
        unknown(UnknownKind::Parse, message)
    }

    /// Takes some of it; false: there is not so much.
    fn take(&self, bytes: usize) -> bool {
        // One reader: what is between the two steps is nobody's.
        let left = self.0.load(Ordering::Relaxed).checked_sub(bytes);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        left.is_some()
    }
}

/// A byte stream to a server.
pub(super) struct Transport {
    stream: Stream,
    allowance: Arc<Allowance>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    /// Over the network.
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self::new(Stream::Tcp(stream))
    }

    /// On this machine.
    pub(super) fn unix(stream: UnixStream) -> Self {
        Self::new(Stream::Unix(stream))
    }

    fn new(stream: Stream) -> Self {
        let allowance = Arc::new(Allowance(AtomicUsize::new(MAX_BYTES)));
        Self { stream, allowance }
    }

    /// What the server may still send.
    pub(super) fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        })?;
        if self.allowance.take(buffer.filled().len() - before) {
            return Poll::Ready(Ok(()));
        }
        let message = format!("the server sent more than {} MiB", MAX_BYTES >> 20);
        Poll::Ready(Err(io::Error::other(message)))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
