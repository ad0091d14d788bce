//! What differs where this activator takes the place of Knative's: probes that are answered, how a
//! request names its Revision, and what becomes of heads and times. Admission, balancing and
//! forwarding are the same.
//!
//! What is compatible with what: `pkg/activator` of knative/serving v0.51.

mod ending;
mod measures;
mod probe;
pub(crate) mod request_log;
mod revision;
mod tally;

use std::sync::Arc;

use http::HeaderValue;
use zeron_core::Function;
use zeron_core::function::Timeouts;

use crate::cause::Cause;
use crate::config::Knative;
use crate::function::FunctionState;
use crate::head;
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::refusal::Refusal;
use crate::route::{Destination, RouteTable};
use crate::stack::{Call, Routed};
use crate::worker::Worker;

pub(crate) use ending::Ending;
pub(crate) use measures::Measures;
pub(crate) use revision::Revisions;
pub(crate) use tally::Tally;

/// The kind of a Revision's [`zeron_core::FunctionId`].
pub(crate) const REVISION: &str = "Revision";

impl Call {
    /// Probe, then the Revision that the request is for, with the head that its queue-proxy gets.
    pub(crate) fn find_revision(
        &mut self,
        knative: &Knative,
        worker: &Worker,
        peer: &Peer,
        outcome: &mut Outcome,
    ) -> Result<Routed, Refusal> {
        if let Some(answer) = probe::answer(&self.parts.headers, worker.shared.health()) {
            outcome.cause = Cause::Probed;
            return Ok(Routed::Here(Box::new(answer)));
        }
        head::check(&self.parts).map_err(Refusal::new)?;
        let authority = head::authority(&self.parts).map_err(Refusal::new)?;
        let table = worker.shared.routes.load();
        let destination = find(&table, knative, &self.parts.headers, &authority.value)?;
        let (shared, begun) = (&worker.shared, outcome.arrived);
        let received = self.body.count();
        let ending = Ending::begin(shared, peer, destination, begun, &self.parts, received);
        outcome.revision(destination, ending);
        let destination = Arc::clone(destination);
        self.want_upgrade();
        let passthrough = destination.passthrough.as_ref();
        head::forward_to_queue(&mut self.parts, &authority, peer, passthrough);
        Ok(Routed::To(destination))
    }
}

fn find<'a>(
    table: &'a RouteTable,
    knative: &Knative,
    headers: &http::HeaderMap,
    host: &HeaderValue,
) -> Result<&'a Arc<Destination>, Refusal> {
    let host = host.to_str().unwrap_or_default();
    let (namespace, name) = revision::named(headers, host, &knative.cluster_domain);
    table.revision(namespace, name).ok_or_else(|| {
        if !table.is_compiled() {
            return Refusal::new(Cause::Starting);
        }
        let resource = "revision.serving.knative.dev";
        let message = format!("Error getting active endpoint: {resource} {name:?} not found");
        Refusal::new(Cause::NoRoute).message(&message)
    })
}

/// A Revision as Knative times it: all its limits count from when a request arrived, the total one
/// until its answer has ended.
pub(crate) fn destination(
    state: Arc<FunctionState>,
    function: Arc<Function>,
    has_passthrough: bool,
) -> Destination {
    let Timeouts {
        request,
        response_start,
        idle,
    } = function.timeouts;
    let host = format!("{}-private.{}", state.id.name(), state.id.namespace());
    let passthrough = has_passthrough.then(|| HeaderValue::try_from(host).ok());
    Destination {
        timeouts: Timeouts {
            request: [request, response_start, idle].into_iter().flatten().min(),
            response_start: None,
            idle,
        },
        total: request,
        passthrough: passthrough.flatten(),
        ..Destination::plain(state, function)
    }
}
