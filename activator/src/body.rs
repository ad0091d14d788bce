//! Bodies on their way: what we send to a replica, and what we answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::{Instant, Sleep};

use crate::function::Permit;
use crate::peer::Busy;
use crate::pool::Lease;

/// Why a body ended early.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// The connection failed.
    #[error("connection failed")]
    Connection(#[source] hyper::Error),
    /// Nobody sent anything for too long.
    #[error("silent for too long")]
    Idle,
}

/// Fires after a silence. Costs nothing while data flows: the timer is made at the first wait.
#[derive(Debug)]
struct Silence {
    longest: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Silence {
    fn new(longest: Option<Duration>) -> Self {
        Self {
            longest,
            timer: None,
            is_waiting: false,
        }
    }

    /// Nothing came: whether that lasts too long already.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(longest) = self.longest else {
            return false;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(longest)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            timer.as_mut().reset(Instant::now() + longest);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

/// A request body, from the client's connection to the replica's.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// `None`: there is no body.
    incoming: Option<Incoming>,
    silence: Silence,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, longest_silence: Duration) -> Self {
        Self {
            incoming: (!incoming.is_end_stream()).then_some(incoming),
            silence: Silence::new(Some(longest_silence)),
        }
    }

    /// The body of a request that has none.
    pub(crate) fn empty() -> Self {
        Self {
            incoming: None,
            silence: Silence::new(None),
        }
    }
}

/// Polls `incoming`, watching for a silence.
fn poll_frame(
    incoming: &mut Incoming,
    silence: &mut Silence,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    match Pin::new(incoming).poll_frame(cx) {
        Poll::Ready(frame) => {
            silence.is_waiting = false;
            Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Connection)))
        }
        Poll::Pending if silence.is_over(cx) => Poll::Ready(Some(Err(BodyError::Idle))),
        Poll::Pending => Poll::Pending,
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match &mut this.incoming {
            None => Poll::Ready(None),
            Some(incoming) => poll_frame(incoming, &mut this.silence, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    kind: Kind,
    /// The connection is in use until this body has ended.
    busy: Option<Busy>,
}

#[derive(Debug)]
enum Kind {
    Empty,
    Full(Bytes),
    Upstream(Upstream),
}

/// A body that a replica sends. It holds the slot and the connection until its end.
#[derive(Debug)]
struct Upstream {
    incoming: Incoming,
    silence: Silence,
    hold: Option<Hold>,
}

/// What is given back when the replica has sent everything.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) permit: Permit,
    /// `None`: the connection is not used again.
    pub(crate) lease: Option<Lease>,
}

impl AnswerBody {
    fn new(kind: Kind) -> Self {
        Self { kind, busy: None }
    }

    pub(crate) fn empty() -> Self {
        Self::new(Kind::Empty)
    }

    pub(crate) fn full(body: Bytes) -> Self {
        Self::new(if body.is_empty() {
            Kind::Empty
        } else {
            Kind::Full(body)
        })
    }

    /// Keeps the connection from counting as idle.
    pub(crate) fn keep_busy(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    pub(crate) fn upstream(incoming: Incoming, idle: Option<Duration>, hold: Hold) -> Self {
        let mut upstream = Upstream {
            incoming,
            silence: Silence::new(idle),
            hold: Some(hold),
        };
        upstream.finish_at_end();
        Self::new(Kind::Upstream(upstream))
    }
}

impl Upstream {
    /// Gives slot and connection back as soon as the last byte is here: the client may take its
    /// time with it.
    fn finish_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(Hold { permit, lease }) = self.hold.take() {
            if let Some(lease) = lease {
                lease.give_back();
            }
            drop(permit);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let upstream = match &mut self.kind {
            Kind::Empty => return Poll::Ready(None),
            Kind::Full(body) => {
                let body = std::mem::take(body);
                self.kind = Kind::Empty;
                return Poll::Ready(Some(Ok(Frame::data(body))));
            }
            Kind::Upstream(upstream) => upstream,
        };
        let polled = poll_frame(&mut upstream.incoming, &mut upstream.silence, cx);
        match &polled {
            Poll::Ready(None) => upstream.finish(),
            Poll::Ready(Some(Ok(_))) => upstream.finish_at_end(),
            // A broken connection is not used again.
            Poll::Ready(Some(Err(_))) => drop(upstream.hold.take()),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Upstream(upstream) => upstream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(body) => SizeHint::with_exact(body.len() as u64),
            Kind::Upstream(upstream) => upstream.incoming.size_hint(),
        }
    }
}
