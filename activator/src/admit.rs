//! The cold path of admission: waiting for a slot, and what follows from waiting too long.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cause;
use crate::function::{Entry, Permit, Request, Ticket};
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::route::Destination;

/// How often to look whether a client, of whom nothing is read, has gone.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How much later than its time an answer may still come from another activator.
const HOP_SLACK: Duration = Duration::from_millis(500);

/// A year: as good as no deadline, and no overflow.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The cold path of admission: waits, and goes to the fallback when that takes too long.
pub(crate) async fn admit(
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
            Entry::Waiting(ticket) => {
                let is_cold = ticket.is_cold;
                match wait(ticket, clock.queue, watched).await {
                    Ok(permit) => {
                        outcome.admitted(is_cold);
                        return Ok((destination, permit));
                    }
                    Err(refusal) => refusal,
                }
            }
        };
        let fallback = destination.fallback.as_ref().map(Arc::clone);
        match fallback {
            Some(fallback) if refusal.cause == Cause::Deadline => {
                let now = Instant::now();
                *clock = Deadline::new(now, &fallback);
                entry = fallback.state.enter(Request {
                    at: now,
                    bytes: bytes as u64,
                    is_hop: false,
                });
                destination = fallback;
            }
            _ => return Err(refusal),
        }
    }
}

/// Waits for a slot until `deadline`, or until a watched client has gone.
pub(crate) async fn wait(
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
pub(crate) struct Deadline {
    request: Instant,
    pub(crate) queue: Instant,
    response_start: Option<Duration>,
}

/// What is left of a request's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) queue: Duration,
    pub(crate) request: Duration,
    /// From when a replica has it.
    pub(crate) response_start: Option<Duration>,
}

/// When the answer must have begun, and what it means if it has not.
pub(crate) struct Latest {
    pub(crate) at: Instant,
    pub(crate) cause: Cause,
}

impl Deadline {
    pub(crate) fn new(arrived: Instant, destination: &Destination) -> Self {
        let request = arrived + destination.timeouts.request.unwrap_or(NEVER).min(NEVER);
        let max_wait = destination.function.admission.max_wait.min(NEVER);
        Self {
            request,
            queue: request.min(arrived + max_wait),
            response_start: destination.timeouts.response_start,
        }
    }

    /// The clock of a request that came by a hop.
    pub(crate) fn within(arrived: Instant, limits: &Limits) -> Self {
        Self {
            request: arrived + limits.request.min(NEVER),
            queue: arrived + limits.queue.min(limits.request).min(NEVER),
            response_start: limits.response_start,
        }
    }

    /// What is left, for a hop.
    pub(crate) fn left(&self) -> Limits {
        let now = Instant::now();
        Limits {
            queue: self.queue.saturating_duration_since(now),
            request: self.request.saturating_duration_since(now),
            response_start: self.response_start,
        }
    }

    /// The owner of the replica keeps the time; this is for the case that it does not.
    pub(crate) fn hop(&self) -> Latest {
        Latest {
            at: self.request + HOP_SLACK,
            cause: Cause::Deadline,
        }
    }

    pub(crate) fn answer(&self) -> Latest {
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
