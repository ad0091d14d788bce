//! How one request ended, counted exactly once, and logged when asked for.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::body::AnswerBody;
use crate::cause::Cause;
use crate::knative::Ending;
use crate::metrics::Phase;
use crate::peer::{Entrance, Peer};
use crate::route::Destination;
use crate::worker::Worker;

/// The fate of one request. A request that is dropped before its answer has begun was left by its
/// client.
#[derive(Debug)]
pub(crate) struct Outcome {
    worker: Arc<Worker>,
    pub(crate) arrived: Instant,
    pub(crate) cause: Cause,
    is_decided: bool,
    /// It waited in a queue.
    is_cold: bool,
    /// It found no replica ready.
    pub(crate) is_cold_start: bool,
    /// Another activator counts it.
    is_hop: bool,
    log: Option<Box<Line>>,
    /// Of a request for a Revision.
    ending: Option<Box<Ending>>,
}

/// What the access log says of a request.
#[derive(Debug)]
struct Line {
    client: std::net::SocketAddr,
    method: http::Method,
    target: http::Uri,
    host: Option<http::HeaderValue>,
    function: Option<zeron_core::FunctionId>,
    status: u16,
}

impl Outcome {
    pub(crate) fn begin(worker: &Arc<Worker>, peer: &Peer, request: &Request<Incoming>) -> Self {
        let log = worker.shared.config.access_log.then(|| {
            Box::new(Line {
                client: peer.address,
                method: request.method().clone(),
                target: request.uri().clone(),
                host: request.headers().get(http::header::HOST).cloned(),
                function: None,
                status: 0,
            })
        });
        Self {
            worker: Arc::clone(worker),
            arrived: Instant::now(),
            cause: Cause::Answered,
            is_decided: false,
            is_cold: false,
            is_cold_start: false,
            is_hop: peer.entrance == Entrance::Activators,
            log,
            ending: None,
        }
    }

    pub(crate) fn destination(&mut self, destination: &Destination) {
        if let Some(line) = &mut self.log {
            line.function = Some(destination.function.id.clone());
        }
    }

    /// The same of a Revision, of which more is kept.
    pub(crate) fn revision(&mut self, revision: &Destination, ending: Box<Ending>) {
        self.destination(revision);
        self.ending = Some(ending);
    }

    pub(crate) fn is_cold(&self) -> bool {
        self.is_cold
    }

    /// A replica became free.
    pub(crate) fn admitted(&mut self, is_cold_start: bool) {
        self.is_cold = true;
        self.is_cold_start |= is_cold_start;
        self.observe(Phase::Queue, self.arrived);
    }

    /// A connection to it stands.
    pub(crate) fn connected(&self, begun: Instant) {
        self.observe(Phase::Connect, begun);
    }

    /// It answered.
    pub(crate) fn first_byte(&self, sent: Instant) {
        self.observe(Phase::FirstByte, sent);
    }

    fn observe(&self, phase: Phase, since: Instant) {
        self.worker
            .shared
            .metrics
            .cold_start(phase, Instant::now() - since);
    }

    pub(crate) fn answered(&mut self, mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
        self.is_decided = true;
        if let Some(mut ending) = self.ending.take() {
            ending.answered(answer.status());
            answer.body_mut().end_with(ending);
        }
        if let Some(line) = &mut self.log {
            line.status = answer.status().as_u16();
        }
        answer
    }

    pub(crate) fn refused(
        &mut self,
        cause: Cause,
        answer: Response<AnswerBody>,
    ) -> Response<AnswerBody> {
        self.cause = cause;
        self.answered(answer)
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if !self.is_decided {
            self.cause = if self.worker.shared.cut.is_cancelled() {
                Cause::ShuttingDown
            } else {
                Cause::ClientGone
            };
        }
        if !self.is_hop {
            self.worker.counts.add(self.cause);
        }
        if let Some(line) = &self.log {
            let elapsed = Instant::now() - self.arrived;
            tracing::info!(
                target: "access",
                client = %line.client,
                method = %line.method,
                host = line.host.as_ref().and_then(|host| host.to_str().ok()),
                path = line.target.path(),
                function = line.function.as_ref().map(tracing::field::display),
                status = line.status,
                reason = self.cause.as_str(),
                is_cold = self.is_cold,
                milliseconds = elapsed.as_secs_f64() * 1e3,
            );
        }
    }
}
