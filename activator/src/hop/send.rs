//! Sending a request to the activator that owns a replica.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;
use zeron_core::function::Protocol;

use super::{Reply, address, reply, unaddress};
use crate::admit::LOOK_EVERY;
use crate::attempt::{Attempt, Hopped, broken, copy, unreachable};
use crate::body::{Hold, Loan, RequestBody};
use crate::cause::Cause;
use crate::function::Permit;
use crate::outcome::Outcome;
use crate::pool::Lease;
use crate::refusal::Refusal;
use crate::stack::Call;
use crate::upstream::Exchange;

/// When to come again with a body of which something was read already.
const COME_AGAIN: Duration = Duration::from_secs(1);

impl Attempt<'_> {
    /// One attempt. What may have been processed is not sent again.
    pub(crate) async fn hop(
        &self,
        call: &mut Call,
        permit: Permit,
        outcome: &mut Outcome,
    ) -> Result<Hopped, Refusal> {
        let way = Arc::clone(&permit.replica);
        let connection = match self.connect(&permit, false, outcome).await {
            Ok(connection) => connection,
            Err(error) => {
                unreachable(&permit, &error);
                return Ok(Hopped::Again(self.elsewhere(permit).await?));
            }
        };
        let spare = copy(&call.parts);
        let (request, loan) = self.pack(call, &permit);
        let exchange = self.worker.upstream.exchange(&way, connection, request);
        let (answer, lease) = match self.watched(exchange, loan.as_deref()).await? {
            Ok(answered) => answered,
            Err(Exchange::NotSent(unsent)) => {
                call.put_back(*unsent);
                unaddress(&mut call.parts);
                if let Some(body) = loan.and_then(|loan| self.take_back(&loan)) {
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
                let lease = self.is_wanted(loan.as_deref()).then_some(lease);
                Ok(Hopped::Answered((answer, Hold { permit, lease })))
            }
            Reply::Misdirected => {
                let body = match loan {
                    Some(loan) => self.take_back(&loan),
                    None => Some(RequestBody::empty()),
                };
                let refusal = Refusal::new(Cause::Misdirected).retry_after(COME_AGAIN);
                let body = body.ok_or(refusal)?;
                call.put_back(spare.map(|_| body));
                Ok(Hopped::Again(self.elsewhere(permit).await?))
            }
            Reply::Refused(refusal) => Err(refusal),
        }
    }

    /// The request as its owner gets it. Over HTTP/1.1 the owner asks for the body when a replica
    /// takes it.
    fn pack(&self, call: &mut Call, permit: &Permit) -> (Request<RequestBody>, Option<Arc<Loan>>) {
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
        (request, loan)
    }

    fn take_back(&self, loan: &Loan) -> Option<RequestBody> {
        loan.take_back(self.worker.shared.config.limits.body_timeout)
    }

    /// A body that was not wanted before the answer is not wanted any more, and its connection is
    /// not used again.
    fn is_wanted(&self, loan: Option<&Loan>) -> bool {
        let unwanted = loan.filter(|loan| !loan.is_open());
        if let Some(loan) = unwanted {
            drop(self.take_back(loan));
        }
        unwanted.is_none()
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
