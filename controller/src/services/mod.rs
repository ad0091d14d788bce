//! Services whose callers all go through the activators: `zeron.dev/activator: "true"`.
//!
//! A Service that opts in loses its selector, which is kept in an annotation, and gets EndpointSlices
//! with the activators' addresses instead, one activator port per Service port. [`next`] decides the
//! next write from what is there, so that a controller that was killed at any point goes on where it
//! was; the order of the writes keeps callers with pods or with activators at every moment:
//!
//! * in: ports allotted, activators accept on them -> our slices -> selector away -> pods' slices away
//! * out: selector back -> the platform's slices are there -> our slices away -> marks away
//!
//! [`run`] is the reconciler, [`hand_back`] the way out for all at once.

mod activators;
pub mod annotations;
mod apply;
mod behind;
mod hand_back;
mod ledger;
mod observed;
mod plan;
mod reach;
mod reconcile;
mod slices;
#[cfg(test)]
pub(crate) mod tests;
mod watched;

pub use activators::{ActivatorPod, Activators, follow_activators};
pub use apply::{ServiceError, SliceApi};
pub use behind::{Behind, Workloads};
pub use hand_back::{HandedBack, hand_back};
pub use ledger::{Ledger, PORT_RANGE};
pub use observed::{Observed, Refusal, ServicePort};
pub(crate) use plan::ACTIVE;
pub use plan::{Next, Step, World, next};
pub use reach::{Accepts, TcpAccepts};
pub use reconcile::{LINGER, ServicesOptions, run};
pub use slices::{MANAGED_BY, SlicePort, SliceSubject, desired_slices};
