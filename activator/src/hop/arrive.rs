//! What other activators send: requests for replicas that are ours, and claims of replicas.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};

use super::{Arrival, arrival, report};
use crate::admit::{Deadline, admit};
use crate::body::{AnswerBody, RequestBody};
use crate::cause::Cause;
use crate::claims::{self, CLAIMANT};
use crate::function::{Entry, Request};
use crate::head;
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::stack::{Call, held_bytes};
use crate::worker::Worker;

impl Call {
    /// Serves another activator. Its request was routed and described there; here it is admitted
    /// like any other, and goes no further.
    pub(crate) async fn arrive(
        &mut self,
        worker: &Arc<Worker>,
        peer: &Peer,
        outcome: &mut Outcome,
    ) -> Result<Response<AnswerBody>, Refusal> {
        if self.parts.headers.contains_key(CLAIMANT) {
            return self.claims(worker).await;
        }
        let Arrival { function, limits } =
            arrival(&self.parts.headers).ok_or(Refusal::new(Cause::BadRequest))?;
        // Of a function that is not known here yet no replica is known to be ours.
        let table = worker.shared.routes.load();
        let destination = table.limited(&function).cloned();
        drop(table);
        let destination = destination.ok_or(Refusal::new(Cause::Misdirected))?;
        outcome.destination(&destination);
        let authority = head::authority(&self.parts).map_err(Refusal::new)?;
        self.want_upgrade();
        head::relay(&mut self.parts, &authority, peer);
        let bytes = held_bytes(&self.parts);
        let mut clock = Deadline::within(outcome.arrived, &limits);
        let entry = destination.state.enter(Request {
            at: outcome.arrived,
            bytes: bytes as u64,
            is_hop: true,
        });
        let (destination, permit) = match entry {
            Entry::Granted(permit) => (destination, permit),
            entry => {
                let watched = (!self.body.is_end_stream()).then_some(peer);
                admit(entry, destination, &mut clock, bytes, watched, outcome).await?
            }
        };
        let state = Arc::clone(&destination.state);
        let mut answer = self
            .forward(worker, peer, &destination, permit, clock, outcome)
            .await?;
        report(&mut answer, state.load().total(), outcome.is_cold_start);
        Ok(answer)
    }

    async fn claims(&mut self, worker: &Worker) -> Result<Response<AnswerBody>, Refusal> {
        let malformed = || Refusal::new(Cause::BadRequest);
        let claimant = self.parts.headers.get(CLAIMANT).ok_or_else(malformed)?;
        let claimant = claimant.to_str().map_err(|_| malformed())?.to_owned();
        let body = std::mem::replace(&mut self.body, RequestBody::empty());
        let question = Limited::new(body, claims::MAX_BYTES).collect().await;
        let question = question.map_err(|_| malformed())?.to_bytes();
        let answer = claims::answer(&worker.shared.registry, &claimant, &question);
        let mut answer =
            Response::new(AnswerBody::full(Bytes::from(answer.ok_or_else(malformed)?)));
        *answer.status_mut() = StatusCode::OK;
        Ok(answer)
    }
}
