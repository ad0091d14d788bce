//! Sending a request: to this replica, to another one, or once more; never twice.

use std::io;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;
use zeron_core::function::Protocol;

use crate::admit::{Deadline, wait};
use crate::body::{Hold, RequestBody};
use crate::cause::Cause;
use crate::function::{Entry, Permit};
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::pool::Connection;
use crate::refusal::Refusal;
use crate::stack::Call;
use crate::upstream::{ConnectError, Exchange, FRESH};
use crate::worker::Worker;

/// Everything that one exchange needs and that does not change on the way.
pub(crate) struct Attempt<'a> {
    pub(crate) worker: &'a Arc<Worker>,
    pub(crate) peer: &'a Peer,
    pub(crate) protocol: Protocol,
    pub(crate) clock: Deadline,
}

pub(crate) type Exchanged = (Response<Incoming>, Hold);

/// How an attempt by a hop ended.
pub(crate) enum Hopped {
    Answered(Exchanged),
    /// Nothing was done: again, here or elsewhere.
    Again(Permit),
}

impl Attempt<'_> {
    /// Tries until something was sent. Nothing is sent twice, except a request that may be: after
    /// a connection that was idle for long, and once after any that broke before an answer came.
    pub(crate) async fn run(
        &self,
        call: &mut Call,
        mut permit: Permit,
        outcome: &mut Outcome,
    ) -> Result<Exchanged, Refusal> {
        let is_repeatable = call.parts.method.is_idempotent() && call.body.is_end_stream();
        let mut may_move = is_repeatable;
        loop {
            if permit.is_elsewhere() {
                match Box::pin(self.hop(call, permit, outcome)).await? {
                    Hopped::Answered(exchanged) => return Ok(exchanged),
                    Hopped::Again(other) => permit = other,
                }
                continue;
            }
            let replica = Arc::clone(&permit.replica);
            let connected = self.connect(&permit, is_repeatable, outcome).await;
            let connection = match connected {
                Ok(connection) => connection,
                Err(error) => {
                    unreachable(&permit, &error);
                    permit = Box::pin(self.elsewhere(permit)).await?;
                    continue;
                }
            };
            let age = Age::of(&connection);
            let spare = (is_repeatable && (may_move || age == Age::Old))
                .then(|| Box::new(copy(&call.parts)));
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
                    if age == Age::New {
                        permit = Box::pin(self.elsewhere(permit)).await?;
                    }
                }
                Err(Exchange::Broken(error)) => {
                    let spare = spare.filter(|_| is_lost_connection(&error));
                    call.put_back(*spare.ok_or_else(|| broken(&error))?);
                    if age != Age::Old {
                        // The replica may be ending, with all its connections.
                        may_move = false;
                        self.worker.shared.metrics.sent_again();
                        permit = Box::pin(self.elsewhere(permit)).await?;
                    }
                }
            }
        }
    }

    pub(crate) async fn connect(
        &self,
        permit: &Permit,
        is_repeatable: bool,
        outcome: &mut Outcome,
    ) -> Result<Connection, ConnectError> {
        let upstream = &self.worker.upstream;
        let (replica, namespace) = (&permit.replica, permit.function().id.namespace());
        let begun = outcome.is_cold().then(Instant::now);
        let connection = upstream
            .connection(replica, namespace, self.protocol, is_repeatable)
            .await?;
        if let Some(begun) = begun {
            outcome.connected(begun);
        }
        Ok(connection)
    }

    /// The replica cannot be reached: another one, or the queue, at the old place.
    pub(crate) async fn elsewhere(&self, permit: Permit) -> Result<Permit, Refusal> {
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

/// How a connection was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// Not at all.
    New,
    /// A moment ago, or by others at this moment.
    Young,
    /// It was idle for so long that the replica may be closing it.
    Old,
}

impl Age {
    fn of(connection: &Connection) -> Self {
        match connection {
            _ if connection.is_new() => Self::New,
            Connection::Http1 {
                idle: Some(idle), ..
            } if *idle > FRESH => Self::Old,
            Connection::Http1 { .. } | Connection::Http2 { .. } => Self::Young,
        }
    }
}

pub(crate) fn copy(parts: &Parts) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = parts.method.clone();
    *copy.uri_mut() = parts.uri.clone();
    *copy.version_mut() = parts.version;
    *copy.headers_mut() = parts.headers.clone();
    copy
}

pub(crate) fn unreachable(permit: &Permit, error: &ConnectError) {
    tracing::debug!(
        function = %permit.function().id,
        endpoint = %permit.replica.id,
        error = error as &dyn std::error::Error,
        "replica cannot be reached"
    );
}

/// Whether the connection ended, rather than that something else was said over it than HTTP.
fn is_lost_connection(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let is_cut = source.is_some_and(|source| {
        let of_http2 = source.downcast_ref::<h2::Error>();
        let of_socket = source.downcast_ref::<io::Error>();
        of_http2.is_some_and(|error| error.is_io() || error.is_go_away() && error.is_remote())
            || of_socket.is_some_and(|error| is_cut(error.kind()))
    });
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_cut
}

fn is_cut(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
    )
}

pub(crate) fn broken(error: &hyper::Error) -> Refusal {
    tracing::debug!(
        error = error as &dyn std::error::Error,
        "the replica did not answer"
    );
    Refusal::new(Cause::UpstreamFailed)
}
