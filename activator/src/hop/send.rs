//! Sending a request to the activator that owns a replica.

use std::pin::pin;
use std::sync::Arc;

use http::Response;
use hyper::body::Incoming;
use tokio::time::Instant;
use zeron_core::function::Protocol;

use super::{Reply, address, reply, unaddress};
use crate::admit::LOOK_EVERY;
use crate::attempt::{Attempt, Hopped, broken, copy, unreachable};
use crate::body::{Hold, Loan};
use crate::cause::Cause;
use crate::function::Permit;
use crate::outcome::Outcome;
use crate::pool::Lease;
use crate::refusal::Refusal;
use crate::stack::Call;
use crate::upstream::Exchange;

impl Attempt<'_> {
    /// One attempt. What may have been processed is not sent again.
    pub(crate) async fn hop(
        &self,
        call: &mut Call,
        permit: Permit,
        outcome: &mut Outcome,
    ) -> Result<Hopped, Refusal> {
        let way = Arc::clone(&permit.replica);
        let connection = match self.connect(&way, false, outcome).await {
            Ok(connection) => connection,
            Err(error) => {
                unreachable(&permit, &error);
                return Ok(Hopped::Again(self.elsewhere(permit).await?));
            }
        };
        let spare = copy(&call.parts);
        // Over HTTP/1.1 the owner asks for the body when a replica takes it.
        let loan = call.body.lend(self.protocol == Protocol::H2c);
        let mut request = call.take();
        address(&mut request, &permit.function().id, &self.clock.left());
        if let Some(loan) = loan.clone() {
            hyper::ext::on_informational(&mut request, move |informational| {
                if informational.status() == http::StatusCode::CONTINUE {
                    loan.open();
                }
            });
        }
        let exchange = self.worker.upstream.exchange(&way, connection, request);
        let sent = self.watched(exchange, loan.as_deref()).await?;
        let longest_silence = self.worker.shared.config.limits.body_timeout;
        let (answer, lease) = match sent {
            Ok(answered) => answered,
            Err(Exchange::NotSent(unsent)) => {
                call.put_back(*unsent);
                unaddress(&mut call.parts);
                if let Some(body) = loan.and_then(|loan| loan.take_back(longest_silence)) {
                    call.body = body;
                }
                return Ok(Hopped::Again(self.elsewhere(permit).await?));
            }
            Err(Exchange::Broken(error)) => return Err(broken(&error)),
        };
        let reply = reply(&answer);
        let metrics = &self.worker.shared.metrics;
        metrics.hopped(!matches!(reply, Reply::Misdirected));
        match reply {
            Reply::Answered { load, is_cold } => {
                way.forgive();
                outcome.is_cold_start |= is_cold;
                if let Some(load) = load {
                    permit.function().told(&permit, load, Instant::now());
                }
                // A body that was not wanted before the answer is not wanted any more.
                let is_open = loan.as_ref().is_none_or(|loan| loan.is_open());
                if let Some(loan) = loan.filter(|_| !is_open) {
                    drop(loan.take_back(longest_silence));
                }
                let lease = is_open.then_some(lease);
                Ok(Hopped::Answered((answer, Hold { permit, lease })))
            }
            Reply::Misdirected => {
                let body = match loan {
                    Some(loan) => loan.take_back(longest_silence),
                    None => Some(crate::body::RequestBody::empty()),
                };
                let refusal = Refusal::new(Cause::Misdirected);
                let body = body.ok_or(refusal.retry_after(std::time::Duration::from_secs(1)))?;
                call.put_back(spare.map(|_| body));
                Ok(Hopped::Again(self.elsewhere(permit).await?))
            }
            Reply::Refused(refusal) => Err(refusal),
        }
    }

    /// While its body waits nobody reads a client's connection: it has to be looked at.
    async fn watched(
        &self,
        exchange: impl Future<Output = Result<(Response<Incoming>, Lease), Exchange>>,
        loan: Option<&Loan>,
    ) -> Result<Result<(Response<Incoming>, Lease), Exchange>, Refusal> {
        let mut exchange = pin!(exchange);
        while loan.is_some_and(|loan| !loan.is_open()) {
            let next = tokio::time::timeout(LOOK_EVERY, exchange.as_mut()).await;
            match next {
                Ok(ended) => return Ok(ended),
                Err(_) if self.peer.is_gone() => return Err(Refusal::new(Cause::ClientGone)),
                Err(_) => {}
            }
        }
        Ok(exchange.await)
    }
}
