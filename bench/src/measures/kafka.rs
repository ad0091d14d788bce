//! Kafka: from a produced message to the process started.
//!
//! Every sample has a topic, a consumer group and a function of its own, all at zero, so that none has to wait for
//! another's scale-in. Messages come at random moments, since the phase of the poll is what matters.

#[cfg(feature = "kafka")]
pub(in crate::measures) mod broker;
#[cfg(feature = "kafka")]
mod groups;
#[cfg(feature = "kafka")]
mod scenario;

use anyhow::Result;

use crate::bench::Bench;

#[cfg(feature = "kafka")]
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    scenario::run(bench)
}

/// Many groups of one topic: what reading all of them costs.
#[cfg(feature = "kafka")]
pub(super) fn run_groups(bench: &mut Bench) -> Result<()> {
    groups::run(bench)
}

/// Without the feature there is no client.
#[cfg(not(feature = "kafka"))]
pub(super) fn run_groups(bench: &mut Bench) -> Result<()> {
    run(bench)
}

/// Without the feature there is no client.
#[cfg(not(feature = "kafka"))]
pub(super) fn run(_bench: &mut Bench) -> Result<()> {
    crate::bench::note("SKIPPED: kafka was not built in (feature `kafka`)");
    Ok(())
}
