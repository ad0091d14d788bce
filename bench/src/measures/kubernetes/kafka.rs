//! A backlog for ten replicas: from producing it until the API server receives the write of ten, in one step.

use anyhow::Result;

use crate::bench::Bench;

use super::Cluster;

#[cfg(feature = "kafka")]
pub(super) fn run(bench: &mut Bench, cluster: &Cluster) -> Result<()> {
    scenario::run(bench, cluster)
}

/// Without the feature there is no client.
#[cfg(not(feature = "kafka"))]
pub(super) fn run(_bench: &mut Bench, _cluster: &Cluster) -> Result<()> {
    crate::bench::note("SKIPPED: kafka was not built in (feature `kafka`)");
    Ok(())
}

#[cfg(feature = "kafka")]
mod scenario;
