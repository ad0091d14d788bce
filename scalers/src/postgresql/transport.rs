//! A byte stream to a server, over the network or on this machine, that takes only so much at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use zeron_core::metric::{Unknown, UnknownKind};

use super::frames::{Frames, MAX_MESSAGE};
use crate::source::unknown;

/// Bytes that a server may send for one batch of queries.
const MAX_BYTES: usize = 16 << 20;

/// What a server may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicUsize,
    /// Whether a message was too long.
    has_long: AtomicBool,
}

impl Allowance {
    fn new() -> Self {
        Self {
            left: AtomicUsize::new(MAX_BYTES),
            has_long: AtomicBool::new(false),
        }
    }

    /// All of it again: something else is asked now.
    pub(super) fn renew(&self) {
        self.left.store(MAX_BYTES, Ordering::Relaxed);
    }

    /// Why a connection was lost: by these limits, or for the reason that the driver has.
    pub(super) fn judge(&self, lost: Unknown) -> Unknown {
        let limit = if self.has_long.load(Ordering::Relaxed) {
            MAX_MESSAGE
        } else if self.left.load(Ordering::Relaxed) == 0 {
            MAX_BYTES
        } else {
            return lost;
        };
        let message = format!("the answer is longer than {} MiB", limit >> 20);
        unknown(UnknownKind::Parse, message)
    }

    /// Takes some of it.
    ///
    /// # Errors
    /// When there is not so much.
    fn take(&self, bytes: usize) -> io::Result<()> {
        // One reader: what is between the two steps is nobody's.
        let left = self.left.load(Ordering::Relaxed).checked_sub(bytes);
        self.left.store(left.unwrap_or(0), Ordering::Relaxed);
        left.map(|_| ()).ok_or_else(|| {
            let message = format!("the server sent more than {} MiB", MAX_BYTES >> 20);
            io::Error::other(message)
        })
    }

    /// Follows messages that come.
    ///
    /// # Errors
    /// When one is too long.
    pub(super) fn follow(&self, frames: &mut Frames, bytes: &[u8]) -> io::Result<()> {
        if frames.pass(bytes) {
            return Ok(());
        }
        self.has_long.store(true, Ordering::Relaxed);
        let message = format!("a message is longer than {} MiB", MAX_MESSAGE >> 20);
        Err(io::Error::other(message))
    }
}

/// A byte stream to a server.
pub(super) struct Transport {
    stream: Stream,
    content: Content,
    allowance: Arc<Allowance>,
}

/// What comes from the server.
enum Content {
    /// One byte first: whether it will encrypt.
    Consent,
    Messages(Frames),
    /// Messages within TLS.
    Encrypted,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    /// Over the network; `asks_tls` says whether the server is asked to encrypt.
    pub(super) fn tcp(stream: TcpStream, asks_tls: bool) -> Self {
        Self::new(Stream::Tcp(stream), asks_tls)
    }

    /// On this machine.
    pub(super) fn unix(stream: UnixStream) -> Self {
        Self::new(Stream::Unix(stream), false)
    }

    fn new(stream: Stream, asks_tls: bool) -> Self {
        let content = match asks_tls {
            true => Content::Consent,
            false => Content::Messages(Frames::default()),
        };
        Self {
            stream,
            content,
            allowance: Arc::new(Allowance::new()),
        }
    }

    /// What the server may still send.
    pub(super) fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }
}

impl Content {
    fn follow(&mut self, mut read: &[u8], allowance: &Allowance) -> io::Result<()> {
        if let (Self::Consent, [consent, rest @ ..]) = (&self, read) {
            read = rest;
            *self = match consent {
                b'S' => Self::Encrypted,
                _ => Self::Messages(Frames::default()),
            };
        }
        match self {
            Self::Consent | Self::Encrypted => Ok(()),
            Self::Messages(frames) => allowance.follow(frames, read),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        ready!(match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        })?;
        let read = &buffer.filled()[before..];
        let followed = this.allowance.take(read.len());
        let followed = followed.and_then(|()| this.content.follow(read, &this.allowance));
        if followed.is_err() {
            // What fails reads nothing.
            buffer.set_filled(before);
        }
        Poll::Ready(followed)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LONG: [u8; 5] = [b'D', 0x7f, 0xff, 0xff, 0xff];

    async fn read(content: Content, sent: &[u8]) -> (io::Result<usize>, Unknown) {
        let (ours, mut server) = UnixStream::pair().unwrap();
        let mut transport = Transport::unix(ours);
        transport.content = content;
        server.write_all(sent).await.unwrap();
        drop(server);
        let read = transport.read_to_end(&mut Vec::new()).await;
        let lost = unknown(UnknownKind::Transport, "lost");
        (read, transport.allowance().judge(lost))
    }

    #[tokio::test]
    async fn a_message_that_says_it_is_long_is_refused_before_the_driver_sees_it() {
        let (read, reason) = read(Content::Messages(Frames::default()), &LONG).await;
        assert!(read.unwrap_err().to_string().contains("longer than 1 MiB"));
        assert_eq!(reason.kind, UnknownKind::Parse, "{}", reason.message);
    }

    #[tokio::test]
    async fn a_server_that_does_not_encrypt_sends_messages_and_one_that_does_sends_tls() {
        let after = |consent: u8| [&[consent][..], &LONG].concat();
        let (plain, _) = read(Content::Consent, &after(b'N')).await;
        assert!(plain.is_err());
        let (encrypted, reason) = read(Content::Consent, &after(b'S')).await;
        assert_eq!(encrypted.unwrap(), 1 + LONG.len());
        assert_eq!(reason.kind, UnknownKind::Transport);
    }

    #[tokio::test]
    async fn many_short_messages_are_too_many_bytes_at_some_time() {
        let (ours, mut server) = UnixStream::pair().unwrap();
        let mut transport = Transport::unix(ours);
        let message = [&[b'D', 0, 0, 1, 4][..], &[7; 256]].concat();
        let sent = tokio::spawn(async move { while server.write_all(&message).await.is_ok() {} });
        let failed = tokio::io::copy(&mut transport, &mut tokio::io::sink()).await;
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("more than 16 MiB"), "{message}");
        drop(transport);
        sent.await.unwrap();
    }
}
