//! The path of a request: accept -> head limits -> route -> admit -> balance -> forward -> answer.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;
use zeron_core::function::Protocol;
use zeron_core::route::StaticResponse;

use crate::body::{AnswerBody, Hold, RequestBody};
use crate::cause::Cause;
use crate::function::{Entry, Permit, Ticket};
use crate::head;
use crate::outcome::Outcome;
use crate::peer::{Busy, Peer};
use crate::pool::Connection;
use crate::refusal::{self, Refusal};
use crate::replica::Replica;
use crate::route::{Action, Destination};
use crate::tunnel;
use crate::upstream::{ConnectError, Exchange};
use crate::worker::Worker;

/// What a waiting request costs beside its head: its task, timers and connection buffers.
const BYTES_PER_REQUEST: usize = 4096;

/// How often to look whether a client, of whom nothing is read, has gone.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A year: as good as no deadline, and no overflow.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

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
            Err(refusal) => outcome.refused(refusal.cause, refusal.answer(call.is_grpc)),
        };
        let is_last = outcome.cause == Cause::BadRequest || worker.shared.is_draining();
        if call.closes || (call.is_http1 && is_last) {
            head::close(&mut answer);
        }
        answer.body_mut().keep_busy(busy);
        Ok(answer)
    }
}

/// A request on its way to a function.
struct Call {
    parts: Parts,
    body: RequestBody,
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
        let destination = match self.route(worker, peer, outcome)? {
            Routed::Here(answer) => return Ok(*answer),
            Routed::To(destination) => destination,
        };
        // Admit: a free slot at once, or a place in the queue.
        let bytes = BYTES_PER_REQUEST + head_bytes(&self.parts);
        let mut clock = Deadline::new(outcome.arrived, &destination);
        let entry = destination.state.enter(outcome.arrived, bytes as u64);
        let (destination, permit) = match entry {
            Entry::Granted(permit) => (destination, permit),
            entry => {
                // Nobody reads the connection while a body waits in it: it has to be looked at.
                let watched = (!self.body.is_end_stream()).then_some(peer);
                let admitted = admit(entry, destination, &mut clock, bytes, watched, outcome);
                Box::pin(admitted).await?
            }
        };
        self.forward(worker, &destination, permit, clock, outcome)
            .await
    }

    /// Route: where it goes, with the head that its function gets; or the answer that needs none.
    fn route(
        &mut self,
        worker: &Worker,
        peer: &Peer,
        outcome: &mut Outcome,
    ) -> Result<Routed, Refusal> {
        let parts = &mut self.parts;
        head::check(parts).map_err(Refusal::new)?;
        let authority = head::authority(parts).map_err(Refusal::new)?;
        let table = worker.shared.routes.load();
        // `OPTIONS *` asks about the whole server.
        let path = match parts.uri.path() {
            "*" => "/",
            path => path,
        };
        let action = table.find(authority.name(), path, &parts.headers);
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
            destination.state.nudge(outcome.arrived);
            outcome.cause = Cause::Placeholder;
            return Ok(Routed::here(placeholder, Cause::Placeholder));
        }
        self.upgrade = head::wanted_upgrade(parts, !self.body.is_end_stream());
        head::forward(parts, &authority, peer);
        Ok(Routed::To(Arc::clone(destination)))
    }

    /// Forward and answer.
    async fn forward(
        &mut self,
        worker: &Arc<Worker>,
        destination: &Destination,
        permit: Permit,
        clock: Deadline,
        outcome: &mut Outcome,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let protocol = match self.upgrade {
            Some(_) => Protocol::Http1,
            None => destination.function.protocol,
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
            protocol,
            clock,
        };
        let deadline = clock.answer();
        let exchange = attempt.run(self, permit, outcome);
        let (answer, hold) = tokio::time::timeout_at(deadline.at, exchange)
            .await
            .map_err(|_| Refusal::new(deadline.cause))??;
        let idle = destination.timeouts.idle;
        match tunnel {
            Some(client) => Ok(tunnel::answer(worker, client, answer, hold, idle, outcome)),
            None => Ok(finish(answer, hold, idle)),
        }
    }

    /// The request itself, to be sent; nothing is left behind.
    fn take(&mut self) -> Request<RequestBody> {
        let (nothing, _) = Request::new(()).into_parts();
        let parts = std::mem::replace(&mut self.parts, nothing);
        Request::from_parts(
            parts,
            std::mem::replace(&mut self.body, RequestBody::empty()),
        )
    }

    /// It was not sent.
    fn put_back(&mut self, request: Request<RequestBody>) {
        (self.parts, self.body) = request.into_parts();
    }
}

/// Where a request goes.
enum Routed {
    Here(Box<Response<AnswerBody>>),
    To(Arc<Destination>),
}

impl Routed {
    fn here(response: &StaticResponse, cause: Cause) -> Self {
        Self::Here(Box::new(refusal::static_answer(response, cause)))
    }
}

/// Everything that one exchange needs and that does not change on the way.
struct Attempt<'a> {
    worker: &'a Arc<Worker>,
    protocol: Protocol,
    clock: Deadline,
}

type Exchanged = (Response<Incoming>, Hold);

impl Attempt<'_> {
    /// Tries until something was sent. Nothing is sent twice, except a request that may be.
    async fn run(
        &self,
        call: &mut Call,
        mut permit: Permit,
        outcome: &mut Outcome,
    ) -> Result<Exchanged, Refusal> {
        let is_repeatable = call.parts.method.is_idempotent() && call.body.is_end_stream();
        loop {
            let replica = Arc::clone(&permit.replica);
            let connected = self.connect(&replica, is_repeatable, outcome).await;
            let connection = match connected {
                Ok(connection) => connection,
                Err(error) => {
                    unreachable(&permit, &error);
                    permit = Box::pin(self.elsewhere(permit)).await?;
                    continue;
                }
            };
            let is_new = connection.is_new();
            let spare = spare(&connection, is_repeatable, &call.parts);
            let sent = outcome.is_cold().then(Instant::now);
            let upstream = &self.worker.upstream;
            let exchange = upstream.exchange(&replica, connection, call.take());
            match exchange.await {
                Ok((answer, lease)) => {
                    if let Some(sent) = sent {
                        outcome.first_byte(sent);
                    }
                    replica.forgive();
                    let lease = Some(lease);
                    return Ok((answer, Hold { permit, lease }));
                }
                Err(Exchange::NotSent(unsent)) => {
                    call.put_back(*unsent);
                    // A pooled connection may have died unseen; a new one means a sick replica.
                    if is_new {
                        permit = Box::pin(self.elsewhere(permit)).await?;
                    }
                }
                Err(Exchange::Broken(error)) => match spare {
                    Some(spare) if is_lost_connection(&error) => call.put_back(*spare),
                    _ => return Err(broken(&error)),
                },
            }
        }
    }

    async fn connect(
        &self,
        replica: &Replica,
        is_repeatable: bool,
        outcome: &mut Outcome,
    ) -> Result<Connection, ConnectError> {
        let upstream = &self.worker.upstream;
        let begun = outcome.is_cold().then(Instant::now);
        let connection = upstream
            .connection(replica, self.protocol, is_repeatable)
            .await?;
        if let Some(begun) = begun {
            outcome.connected(begun);
        }
        Ok(connection)
    }

    /// The replica cannot be reached: another one, or the queue, at the old place.
    async fn elsewhere(&self, permit: Permit) -> Result<Permit, Refusal> {
        let state = Arc::clone(permit.function());
        let replica = Arc::clone(&permit.replica);
        let (entry, pause) = state.fail_over(permit, Instant::now());
        if let Some(pause) = pause {
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                state.reinstate(&replica, Instant::now());
            });
        }
        match entry {
            Entry::Granted(permit) => Ok(permit),
            Entry::Refused(refusal) => Err(refusal),
            Entry::Waiting(ticket) => wait(ticket, self.clock.queue, None).await,
        }
    }
}

/// The cold path of admission: waits, and goes to the fallback when that takes too long.
async fn admit(
    entry: Entry,
    mut destination: Arc<Destination>,
    clock: &mut Deadline,
    bytes: usize,
    watched: Option<&Peer>,
    outcome: &mut Outcome,
) -> Result<(Arc<Destination>, Permit), Refusal> {
    let mut entry = entry;
    loop {
        let refusal = match entry {
            Entry::Granted(permit) => return Ok((destination, permit)),
            Entry::Refused(refusal) => return Err(refusal),
            Entry::Waiting(ticket) => match wait(ticket, clock.queue, watched).await {
                Ok(permit) => {
                    outcome.admitted();
                    return Ok((destination, permit));
                }
                Err(refusal) => refusal,
            },
        };
        let fallback = destination.fallback.as_ref().map(Arc::clone);
        match fallback {
            Some(fallback) if refusal.cause == Cause::Deadline => {
                let now = Instant::now();
                *clock = Deadline::new(now, &fallback);
                entry = fallback.state.enter(now, bytes as u64);
                destination = fallback;
            }
            _ => return Err(refusal),
        }
    }
}

/// Waits for a slot until `deadline`, or until a watched client has gone.
async fn wait(
    ticket: Ticket,
    deadline: Instant,
    watched: Option<&Peer>,
) -> Result<Permit, Refusal> {
    let mut granted = pin!(ticket.granted());
    loop {
        let until = match watched {
            Some(_) => deadline.min(Instant::now() + LOOK_EVERY),
            None => deadline,
        };
        if let Ok(grant) = tokio::time::timeout_at(until, granted.as_mut()).await {
            return grant;
        }
        if watched.is_some_and(Peer::is_gone) {
            return Err(Refusal::new(Cause::ClientGone));
        }
        if until == deadline {
            return Err(Refusal::new(Cause::Deadline));
        }
    }
}

/// The moments at which a request has taken too long.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    request: Instant,
    queue: Instant,
    response_start: Option<Duration>,
}

/// When the answer must have begun, and what it means if it has not.
struct Latest {
    at: Instant,
    cause: Cause,
}

impl Deadline {
    fn new(arrived: Instant, destination: &Destination) -> Self {
        let request = arrived + destination.timeouts.request.unwrap_or(NEVER).min(NEVER);
        let max_wait = destination.function.admission.max_wait.min(NEVER);
        Self {
            request,
            queue: request.min(arrived + max_wait),
            response_start: destination.timeouts.response_start,
        }
    }

    fn answer(&self) -> Latest {
        let start = self
            .response_start
            .map(|longest| Instant::now() + longest.min(NEVER));
        match start {
            Some(at) if at < self.request => Latest {
                at,
                cause: Cause::ResponseTimeout,
            },
            _ => Latest {
                at: self.request,
                cause: Cause::Deadline,
            },
        }
    }
}

/// The answer as the client gets it.
pub(crate) fn finish(
    answer: Response<Incoming>,
    hold: Hold,
    idle: Option<Duration>,
) -> Response<AnswerBody> {
    let (mut parts, body) = answer.into_parts();
    head::answer(&mut parts.headers);
    parts.version = http::Version::HTTP_11;
    Response::from_parts(parts, AnswerBody::upstream(body, idle, hold))
}

/// A second copy of a request that may be sent twice, where the connection might be closing.
fn spare(
    connection: &Connection,
    is_repeatable: bool,
    parts: &Parts,
) -> Option<Box<Request<RequestBody>>> {
    let Connection::Http1 {
        idle: Some(idle), ..
    } = connection
    else {
        return None;
    };
    let is_old = *idle > crate::upstream::FRESH;
    (is_repeatable && is_old).then(|| Box::new(copy(parts)))
}

fn copy(parts: &Parts) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = parts.method.clone();
    *copy.uri_mut() = parts.uri.clone();
    *copy.version_mut() = parts.version;
    *copy.headers_mut() = parts.headers.clone();
    copy
}

fn head_bytes(parts: &Parts) -> usize {
    let fields = parts.headers.iter();
    fields.fold(parts.uri.path().len(), |bytes, (name, value)| {
        bytes + name.as_str().len() + value.len()
    })
}

fn unreachable(permit: &Permit, error: &ConnectError) {
    tracing::debug!(
        function = %permit.function().id,
        endpoint = %permit.replica.id,
        error = error as &dyn std::error::Error,
        "replica cannot be reached"
    );
}

fn is_lost_connection(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_canceled() || error.is_closed()
}

fn broken(error: &hyper::Error) -> Refusal {
    tracing::debug!(
        error = error as &dyn std::error::Error,
        "the replica did not answer"
    );
    Refusal::new(Cause::UpstreamFailed)
}
