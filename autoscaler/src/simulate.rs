//! Replays a load against a policy with the same [`decide`](crate::decide()) that the engine runs.
//!
//! Pure: no clock and no randomness but the seed of a synthetic load. Replicas become ready after a
//! given latency; requests wait in one queue; scaling in takes idle replicas first and waits for
//! the requests of the others.

mod load;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use zeron_core::policy::ScalePolicy;

pub use load::{Load, LoadError, Request, Sample};
pub use report::{Change, Point, SimulationReport, Waits};

/// What a simulation needs beside the load and the policy.
#[derive(Clone, Debug)]
pub struct SimulationConfig {
    /// From the wish for a replica until it is ready.
    pub start_latency: Duration,
    /// Requests that one replica may serve at once; `None` = unlimited.
    pub concurrency_limit: Option<NonZeroU32>,
    /// What the platform can run at most; `None` = no limit.
    pub replica_cap: Option<u32>,
    /// Replicas that run and are ready at the beginning.
    pub initial_replicas: u32,
    /// How long to go on after the load's end, to see it come to rest.
    pub tail: Duration,
    /// Distance of the points in the report.
    pub resolution: Duration,
    /// What one replica should carry of each metric, where the trigger's parameters do not say so.
    pub metric_targets: BTreeMap<String, f64>,
}

impl Default for SimulationConfig {
    fn default() -> Self {
        Self {
            start_latency: Duration::from_millis(10),
            concurrency_limit: None,
            replica_cap: Some(1_000),
            initial_replicas: 0,
            tail: Duration::from_secs(600),
            resolution: Duration::from_secs(1),
            metric_targets: BTreeMap::new(),
        }
    }
}

/// Replays `load` against `policy`.
pub fn simulate(load: &Load, policy: &ScalePolicy, config: &SimulationConfig) -> SimulationReport {
    run::Simulation::new(load, policy, config).run()
}
