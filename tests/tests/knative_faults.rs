//! Faults inside a real Knative Serving with our parts in the place of its own: what is lost when parts of it go away, hang
//! or are of both kinds at once.
#![allow(clippy::unwrap_used)]

#[path = "knative_faults/activator.rs"]
mod activator;
#[path = "knative_faults/api.rs"]
mod api;
#[path = "knative_faults/autoscaler.rs"]
mod autoscaler;
#[path = "knative_faults/beside.rs"]
mod beside;
#[path = "knative_faults/hung.rs"]
mod hung;
#[path = "knative_faults/many.rs"]
mod many;
#[path = "knative_faults/outage.rs"]
mod outage;
#[path = "knative_faults/replicas.rs"]
mod replicas;
#[path = "knative_faults/shots.rs"]
mod shots;
