//! The cold path of admission: waiting for a slot, and what follows from waiting too long.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cause;
use crate::function::{Entry, Permit, Ticket};
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::route::Destination;

/// How often to look whether a client, of whom nothing is read, has gone.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
