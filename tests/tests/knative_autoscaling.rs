//! What Knative promises of a revision's replicas, kept by our autoscaler and activator: to zero and from zero, first
//! replicas, and every annotation.
//!
//! `ZERON_TEST_KNATIVE_SIDE=knative` tests Knative's own parts: what is claimed here is what those do.
#![allow(clippy::unwrap_used)]

#[path = "knative_autoscaling/annotations.rs"]
mod annotations;
#[path = "knative_autoscaling/averages.rs"]
mod averages;
#[path = "knative_autoscaling/begin.rs"]
mod begin;
#[path = "knative_autoscaling/restart.rs"]
mod restart;
#[path = "knative_autoscaling/zero.rs"]
mod zero;

use zeron_tests::knative::Side;

/// Whose parts are tested.
fn side() -> Side {
    match std::env::var("ZERON_TEST_KNATIVE_SIDE").as_deref() {
        Ok("knative") => Side::Knatives,
        _ => Side::Ours,
    }
}
