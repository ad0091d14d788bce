//! A TCP stream that others may look at while hyper owns it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream; clones are the same one.
///
/// The lock is never contended: all clones live in one worker. Reading through it keeps tokio's
/// knowledge of a short read, which saves the read that would find nothing.
#[derive(Clone, Debug)]
pub(crate) struct Socket(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    stream: TcpStream,
    /// Bytes that were read already and given back.
    replay: Bytes,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            stream,
            replay: Bytes::new(),
        })))
    }

    /// Gives back bytes that were read, to be read again first.
    pub(crate) fn give_back(&self, bytes: Bytes) {
        self.0.lock().replay = bytes;
    }

    /// Waits for the first bytes without taking them; none at the end of the stream.
    pub(crate) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            let inner = self.0.lock();
            if inner.replay.is_empty() {
                let mut buf = ReadBuf::new(bytes);
                return inner.stream.poll_peek(cx, &mut buf);
            }
            let length = inner.replay.len().min(bytes.len());
            bytes[..length].copy_from_slice(&inner.replay[..length]);
            Poll::Ready(Ok(length))
        })
        .await
    }

    /// Whether the other end has gone, as far as the kernel has said so, also while bytes that it
    /// sent before are still unread.
    pub(crate) fn is_closed(&self) -> bool {
        let inner = self.0.lock();
        let mut ready = pin!(inner.stream.ready(Interest::READABLE));
        let mut cx = Context::from_waker(Waker::noop());
        match ready.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.lock();
        if !inner.replay.is_empty() {
            let length = inner.replay.len().min(buf.remaining());
            buf.put_slice(&inner.replay.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut inner.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.lock().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.lock().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_shutdown(cx)
    }
}
