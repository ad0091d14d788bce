//! `--dialect knative`: an activator and an autoscaler in the place of Knative Serving's own.
//!
//! They are started by Knative's Deployments, so names, addresses and ports are those that these
//! give: `POD_NAME`, `POD_IP`, `SYSTEM_NAMESPACE`, and the ports that its Services lead to.

mod activator;
pub(crate) mod args;
mod autoscaler;
mod figures;
mod owned;
mod revisions;
mod settings;

pub(super) use activator::run as activator;
pub(super) use autoscaler::run as autoscaler;
