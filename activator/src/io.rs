//! A client's connection as hyper sees it: checked, and watched for silence.

mod socket;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::config::Limits;
use crate::framing::{Checker, Fault, Phase};
use crate::peer::Peer;
pub(crate) use socket::Socket;

/// What hyper refuses with 400 wherever it stands in a head.
const POISON: u8 = 0;

/// A client's connection: what it sends is checked, and its silences are bounded.
///
/// Timers are made at the first wait and kept, so that a request that comes and goes at once
/// touches none.
#[derive(Debug)]
pub(crate) struct Guarded<I> {
    io: I,
    peer: Arc<Peer>,
    /// `None` for HTTP/2, whose framing is h2's to check.
    checker: Option<Checker>,
    is_poisoned: bool,
    head: Alarm,
    idle: Alarm,
    write: Alarm,
    /// Something came or went since `idle` was last looked at.
    is_touched: bool,
}

/// A timer that is made when it is first needed.
#[derive(Debug)]
struct Alarm {
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_set: bool,
}

impl Alarm {
    fn new(after: Duration) -> Self {
        Self {
            after,
            timer: None,
            is_set: false,
        }
    }

    /// Whether the wait, which began with the first call since [`Self::clear`], is too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let after = self.after;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        if !std::mem::replace(&mut self.is_set, true) {
            timer.as_mut().reset(Instant::now() + after);
        }
        timer.as_mut().poll(cx)
    }

    fn clear(&mut self) {
        self.is_set = false;
    }
}

impl<I> Guarded<I> {
    pub(crate) fn new(io: I, peer: Arc<Peer>, checker: Option<Checker>, limits: &Limits) -> Self {
        Self {
            io,
            peer,
            checker,
            is_poisoned: false,
            head: Alarm::new(limits.head_timeout),
            idle: Alarm::new(limits.keep_alive_timeout),
            write: Alarm::new(limits.write_timeout),
            is_touched: false,
        }
    }

    /// Checks what was just read into `buf` from `start` on.
    fn check(&mut self, buf: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        self.is_touched = true;
        let Some(checker) = &mut self.checker else {
            return Ok(());
        };
        match checker.follow(&buf.filled()[start..]) {
            Ok(()) => {
                if checker.phase() != Phase::Head {
                    self.head.clear();
                }
                Ok(())
            }
            // hyper answers what came before, then refuses this head in its turn.
            Err(Fault::Head(at)) => {
                buf.filled_mut()[start + at] = POISON;
                buf.set_filled(start + at + 1);
                self.is_poisoned = true;
                Ok(())
            }
            Err(Fault::Body) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Nothing came: an error when the rest of a head is overdue, the end when nothing more is
    /// expected of an idle connection.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.checker.as_ref().map_or(Phase::Between, Checker::phase) {
            Phase::Head => {
                ready!(self.head.poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Phase::Between => loop {
                ready!(self.idle.poll(cx));
                self.idle.clear();
                let was_touched = std::mem::take(&mut self.is_touched);
                if !was_touched && !self.peer.is_busy() {
                    return Poll::Ready(Ok(()));
                }
            },
            Phase::Beyond => Poll::Pending,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_poisoned {
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => Poll::Ready(this.check(buf, start)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_silence(cx),
        }
    }
}

impl<I: AsyncWrite + Unpin> Guarded<I> {
    /// Bounds how long the client may take nothing.
    fn written(&mut self, cx: &mut Context<'_>, is_pending: bool) -> Poll<io::Error> {
        if is_pending {
            return self.write.poll(cx).map(|()| io::ErrorKind::TimedOut.into());
        }
        self.is_touched = true;
        self.write.clear();
        Poll::Pending
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        match self.written(cx, written.is_pending()) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => written,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        match self.written(cx, written.is_pending()) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => written,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
