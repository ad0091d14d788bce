//! The path of a request: accept -> head limits -> route -> admit -> balance -> forward -> answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use zeron_core::function::Protocol;
use zeron_core::route::StaticResponse;

use crate::admit::{Deadline, admit};
use crate::attempt::Attempt;
use crate::body::{AnswerBody, Hold, Patience, RequestBody};
use crate::cause::Cause;
use crate::config::Dialect;
use crate::function::{self, Entry, Permit};
use crate::head;
use crate::hop;
use crate::outcome::Outcome;
use crate::peer::{Busy, Entrance, Peer};
use crate::refusal::{self, Refusal};
use crate::route::{Action, Destination};
use crate::tunnel;
use crate::worker::Worker;

/// What a waiting request costs beside its head: its task, timers and connection buffers.
const BYTES_PER_REQUEST: usize = 4096;

/// Answers one request, whatever happens.
///
/// The future holds the request once: what waits by the thousand is kept small.
pub(crate) fn serve(
    worker: Arc<Worker>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> {
    let mut outcome = Outcome::begin(&worker, &peer, &request);
    let mut call = Call::new(request, worker.shared.config.limits.body_timeout);
    let busy = Busy::new(peer);
    async move {
        let mut answer = match call.respond(&worker, busy.peer(), &mut outcome).await {
            Ok(answer) => outcome.answered(answer),
            Err(refusal) if busy.peer().entrance == Entrance::Activators => {
                outcome.refused(refusal.cause, hop::refuse(&refusal))
            }
            Err(refusal) => {
                let dialect = &worker.shared.config.dialect;
                let answer = refusal.answer(call.is_grpc, dialect);
                outcome.refused(refusal.cause, answer)
            }
        };
        let is_ending = worker.shared.is_draining() && busy.peer().entrance != Entrance::Activators;
        let is_last = outcome.cause == Cause::BadRequest || is_ending;
        if call.closes || (call.is_http1 && is_last) {
            head::close(&mut answer);
        }
        answer.body_mut().keep_busy(busy);
        Ok(answer)
    }
}

/// A request on its way to a function.
pub(crate) struct Call {
    pub(crate) parts: Parts,
    pub(crate) body: RequestBody,
    upgrade: Option<HeaderValue>,
    is_grpc: bool,
    is_http1: bool,
    /// Its connection serves no further request.
    closes: bool,
}

impl Call {
    fn new(request: Request<Incoming>, body_timeout: Duration) -> Self {
        let closes = head::closes(&request);
        let (parts, body) = request.into_parts();
        Self {
            body: RequestBody::new(body, body_timeout),
            upgrade: None,
            is_grpc: refusal::is_grpc(&parts.headers),
            is_http1: parts.version < http::Version::HTTP_2,
            closes,
            parts,
        }
    }

    /// Accept and head limits were hyper's; the rest in order.
    async fn respond(
        &mut self,
        worker: &Arc<Worker>,
        peer: &Peer,
        outcome: &mut Outcome,
    ) -> Result<Response<AnswerBody>, Refusal> {
        if peer.entrance == Entrance::Activators {
            return Box::pin(self.arrive(worker, peer, outcome)).await;
        }
        let destination = match self.route(worker, peer, outcome)? {
            Routed::Here(answer) => return Ok(*answer),
            Routed::To(destination) => destination,
        };
        // Admit: a free slot at once, or a place in the queue.
        let bytes = held_bytes(&self.parts);
        let mut clock = Deadline::new(outcome.arrived, &destination);
        let entry = destination.state.enter(function::Request {
            at: outcome.arrived,
            bytes: bytes as u64,
            is_hop: false,
        });
        let (destination, permit) = match entry {
            Entry::Granted(permit) => (destination, permit),
            entry => {
                // Nobody reads the connection while a body waits in it: it has to be looked at.
                let watched = (!self.body.is_end_stream()).then_some(peer);
                let admitted = admit(entry, destination, &mut clock, bytes, watched, outcome);
                Box::pin(admitted).await?
            }
        };
        let mut answer = self
            .forward(worker, peer, &destination, permit, clock, outcome)
            .await?;
        if destination.says_cold_start {
            head::say_cold_start(&mut answer, outcome.is_cold_start);
        }
        Ok(answer)
    }

    /// Route: where it goes, with the head that its function gets; or the answer that needs none.
    fn route(
        &mut self,
        worker: &Worker,
        peer: &Peer,
        outcome: &mut Outcome,
    ) -> Result<Routed, Refusal> {
        if let Dialect::Knative(knative) = &worker.shared.config.dialect {
            return self.find_revision(knative, worker, peer, outcome);
        }
        let parts = &mut self.parts;
        head::check(parts).map_err(Refusal::new)?;
        let authority = head::authority(parts).map_err(Refusal::new)?;
        let table = worker.shared.routes.load();
        // `OPTIONS *` asks about the whole server.
        let path = match parts.uri.path() {
            "*" => "/",
            path => path,
        };
        let action = table.find(peer.entrance.port(), authority.name(), path, &parts.headers);
        let destination = match &**action.ok_or(Refusal::new(Cause::NoRoute))? {
            Action::Respond(response) => {
                outcome.cause = Cause::Responded;
                return Ok(Routed::here(response, Cause::Responded));
            }
            Action::Forward(split) => split
                .choose(head::trace::draw())
                .ok_or(Refusal::new(Cause::NoRoute))?,
        };
        outcome.destination(destination);
        if let Some(placeholder) = &destination.placeholder
            && !destination.state.is_ready()
        {
            if !destination.is_placeholder_silent {
                destination.state.nudge(outcome.arrived);
            }
            outcome.cause = Cause::Placeholder;
            return Ok(Routed::here(placeholder, Cause::Placeholder));
        }
        let destination = Arc::clone(destination);
        self.want_upgrade();
        head::forward(&mut self.parts, &authority, peer);
        Ok(Routed::To(destination))
    }

    pub(crate) fn want_upgrade(&mut self) {
        self.upgrade = head::wanted_upgrade(&self.parts, !self.body.is_end_stream());
    }

    /// Forward and answer.
    pub(crate) async fn forward(
        &mut self,
        worker: &Arc<Worker>,
        peer: &Peer,
        destination: &Destination,
        permit: Permit,
        clock: Deadline,
        outcome: &mut Outcome,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let protocol = match (&self.upgrade, &worker.shared.config.dialect) {
            (Some(_), _) => Protocol::Http1,
            (None, Dialect::Zeron) => destination.function.protocol,
            // A queue-proxy passes on what it gets: the client chooses.
            (None, Dialect::Knative(_)) if self.is_http1 => Protocol::Http1,
            (None, Dialect::Knative(_)) => Protocol::H2c,
        };
        let tunnel = self.upgrade.take().map(|protocol| {
            head::ask_upgrade(&mut self.parts.headers, protocol);
            tunnel::client_side(&mut self.parts)
        });
        if protocol == Protocol::H2c {
            head::to_http2(&mut self.parts);
        }
        let attempt = Attempt {
            worker,
            peer,
            protocol,
            clock,
        };
        let deadline = match permit.is_elsewhere() {
            true => clock.hop(),
            false => clock.answer(),
        };
        let exchange = attempt.run(self, permit, outcome);
        let (answer, hold) = tokio::time::timeout_at(deadline.at, exchange)
            .await
            .map_err(|_| Refusal::new(deadline.cause))??;
        let patience = Patience {
            silence: destination.timeouts.idle,
            end: destination
                .total
                .and_then(|total| outcome.arrived.checked_add(total)),
        };
        match tunnel {
            Some(client) => Ok(tunnel::answer(
                worker, client, answer, hold, patience, outcome,
            )),
            None => Ok(finish(answer, hold, patience)),
        }
    }

    /// The request itself, to be sent; nothing is left behind.
    pub(crate) fn take(&mut self) -> Request<RequestBody> {
        let (nothing, _) = Request::new(()).into_parts();
        let parts = std::mem::replace(&mut self.parts, nothing);
        Request::from_parts(
            parts,
            std::mem::replace(&mut self.body, RequestBody::empty()),
        )
    }

    /// It was not sent.
    pub(crate) fn put_back(&mut self, request: Request<RequestBody>) {
        (self.parts, self.body) = request.into_parts();
    }
}

/// Where a request goes.
pub(crate) enum Routed {
    Here(Box<Response<AnswerBody>>),
    To(Arc<Destination>),
}

impl Routed {
    fn here(response: &StaticResponse, cause: Cause) -> Self {
        Self::Here(Box::new(refusal::static_answer(response, cause)))
    }
}

/// The answer as the client gets it.
pub(crate) fn finish(
    answer: Response<Incoming>,
    hold: Hold,
    patience: Patience,
) -> Response<AnswerBody> {
    let (mut parts, body) = answer.into_parts();
    head::answer(&mut parts.headers);
    parts.version = http::Version::HTTP_11;
    Response::from_parts(parts, AnswerBody::upstream(body, patience, hold))
}

/// What a request holds while it waits.
pub(crate) fn held_bytes(parts: &Parts) -> usize {
    let fields = parts.headers.iter();
    let head = BYTES_PER_REQUEST + parts.uri.path().len();
    fields.fold(head, |bytes, (name, value)| {
        bytes + name.as_str().len() + value.len()
    })
}
