//! Bodies on their way: what we send to a replica, and what we answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::{Instant, Sleep};

use crate::function::Permit;
use crate::knative::Ending;
use crate::peer::Busy;
use crate::pool::Lease;

/// Why a body ended early.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// The connection failed.
    #[error("connection failed")]
    Connection(#[source] hyper::Error),
    /// Nobody sent anything for too long, or it took too long in all.
    #[error("it takes too long")]
    TooLong,
    /// It goes elsewhere.
    #[error("taken back")]
    TakenBack,
}

/// How long a body is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// The longest silence in it.
    pub(crate) silence: Option<Duration>,
    /// When it must have ended.
    pub(crate) end: Option<Instant>,
}

impl Patience {
    /// Until when to wait from now on.
    fn until(self) -> Option<Instant> {
        let silence = self.silence.map(|longest| Instant::now() + longest);
        silence.into_iter().chain(self.end).min()
    }
}

/// Fires after a silence. Costs nothing while data flows: the timer is made at the first wait.
#[derive(Debug)]
struct Silence {
    patience: Patience,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Silence {
    fn new(patience: Patience) -> Self {
        Self {
            patience,
            timer: None,
            is_waiting: false,
        }
    }

    fn of(longest: Duration) -> Self {
        Self::new(Patience {
            silence: Some(longest),
            end: None,
        })
    }

    /// Nothing came: whether that lasts too long already.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_waiting {
            let timer = self.timer.as_mut();
            return timer.is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        }
        let Some(until) = self.patience.until() else {
            return false;
        };
        self.is_waiting = true;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        timer.as_mut().reset(until);
        timer.as_mut().poll(cx).is_ready()
    }
}

/// A request body, from the client's connection to the replica's.
#[derive(Debug)]
pub(crate) struct RequestBody {
    source: Source,
    silence: Silence,
}

#[derive(Debug)]
enum Source {
    /// `None`: there is no body.
    Own(Option<Incoming>),
    /// On the heap: a request that waits is no larger for it.
    Counted(Box<Counted>),
    Lent(Arc<Loan>),
}

/// A body, and how much of it was read.
#[derive(Debug)]
struct Counted {
    incoming: Incoming,
    bytes: Arc<AtomicU64>,
}

impl Counted {
    fn poll_frame(&mut self, silence: &mut Silence, cx: &mut Context<'_>) -> Polled {
        let polled = poll_frame(&mut self.incoming, silence, cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        polled
    }
}

/// A body that is sent with a request and may be taken back as long as nothing of it was read.
#[derive(Debug)]
pub(crate) struct Loan(Mutex<Lent>);

#[derive(Debug)]
struct Lent {
    incoming: Option<Incoming>,
    /// It is wanted.
    is_open: bool,
    is_touched: bool,
    reader: Option<Waker>,
}

impl Loan {
    /// It is wanted: it may be read from now on.
    pub(crate) fn open(&self) {
        let mut lent = self.0.lock();
        lent.is_open = true;
        lent.wake();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().is_open
    }

    /// Ends the loan; the body, unless something of it was read.
    pub(crate) fn take_back(&self, longest_silence: Duration) -> Option<RequestBody> {
        let mut lent = self.0.lock();
        lent.is_open = true;
        let incoming = lent.incoming.take();
        lent.wake();
        let untouched = incoming.filter(|_| !lent.is_touched)?;
        Some(RequestBody::new(untouched, longest_silence))
    }
}

impl Lent {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn poll_frame(
        &mut self,
        silence: &mut Silence,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.is_open {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(Some(Err(BodyError::TakenBack)));
        };
        let polled = poll_frame(incoming, silence, cx);
        self.is_touched |= polled.is_ready();
        polled
    }
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, longest_silence: Duration) -> Self {
        Self {
            source: Source::Own((!incoming.is_end_stream()).then_some(incoming)),
            silence: Silence::of(longest_silence),
        }
    }

    /// Counts the bytes that are read of it from now on; `None` when there is no body.
    pub(crate) fn count(&mut self) -> Option<Arc<AtomicU64>> {
        let Source::Own(incoming) = &mut self.source else {
            return None;
        };
        let (incoming, bytes) = (incoming.take()?, Arc::<AtomicU64>::default());
        let counted = Counted {
            incoming,
            bytes: Arc::clone(&bytes),
        };
        self.source = Source::Counted(Box::new(counted));
        Some(bytes)
    }

    /// The body of a request that has none.
    pub(crate) fn empty() -> Self {
        Self {
            source: Source::Own(None),
            silence: Silence::new(Patience::default()),
        }
    }

    /// Makes it one that can be taken back, which is read once it is wanted (`is_open`: at once).
    /// `None` when there is no body.
    pub(crate) fn lend(&mut self, is_open: bool) -> Option<Arc<Loan>> {
        let incoming = match std::mem::replace(&mut self.source, Source::Own(None)) {
            Source::Own(incoming) => incoming?,
            Source::Counted(counted) => counted.incoming,
            lent @ Source::Lent(_) => {
                self.source = lent;
                return None;
            }
        };
        let loan = Arc::new(Loan(Mutex::new(Lent {
            incoming: Some(incoming),
            is_open,
            is_touched: false,
            reader: None,
        })));
        self.source = Source::Lent(Arc::clone(&loan));
        Some(loan)
    }

    pub(crate) fn is_lent(&self) -> bool {
        matches!(self.source, Source::Lent(_))
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
        Poll::Pending if silence.is_over(cx) => Poll::Ready(Some(Err(BodyError::TooLong))),
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
        match &mut this.source {
            Source::Own(None) => Poll::Ready(None),
            Source::Own(Some(incoming)) => poll_frame(incoming, &mut this.silence, cx),
            Source::Counted(counted) => counted.poll_frame(&mut this.silence, cx),
            Source::Lent(loan) => loan.0.lock().poll_frame(&mut this.silence, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(incoming) => incoming.as_ref().is_none_or(Body::is_end_stream),
            Source::Counted(counted) => counted.incoming.is_end_stream(),
            Source::Lent(loan) => {
                let lent = loan.0.lock();
                lent.incoming.as_ref().is_some_and(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let hint = |incoming: Option<&Incoming>| {
            incoming.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
        };
        match &self.source {
            Source::Own(incoming) => hint(incoming.as_ref()),
            Source::Counted(counted) => hint(Some(&counted.incoming)),
            Source::Lent(loan) => hint(loan.0.lock().incoming.as_ref()),
        }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    kind: Kind,
    /// The connection is in use until this body has ended.
    busy: Option<Busy>,
    /// What is counted and logged when it has.
    ending: Option<Box<Ending>>,
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
        Self {
            kind,
            busy: None,
            ending: None,
        }
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

    /// Has `ending` done once this body has ended.
    pub(crate) fn end_with(&mut self, ending: Box<Ending>) {
        self.ending = Some(ending);
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Polled {
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

    /// Keeps the connection from counting as idle.
    pub(crate) fn keep_busy(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    pub(crate) fn upstream(incoming: Incoming, patience: Patience, hold: Hold) -> Self {
        let mut upstream = Upstream {
            incoming,
            silence: Silence::new(patience),
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
        let polled = self.poll_kind(cx);
        if let Some(ending) = &mut self.ending
            && let Poll::Ready(Some(Ok(frame))) = &polled
        {
            ending.sent(frame.data_ref().map_or(0, Bytes::len));
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
