//! The same engine on a cluster: its own share of a cold start, many cold starts at once, Kafka, rest and start-up,
//! and what a KEDA that stays is told.
//!
//! The roles run as processes of this machine against the cluster of the kubeconfig, and act on a namespace of the
//! bench's own alone. What the API server saw, and when, is read from its audit log: one clock for all.

mod cold_start;
mod counting;
mod functions;
mod idle;
mod kafka;
mod many;
mod objects;
mod push;
mod roles;
mod start_up;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::cluster::namespace::Namespace;
use super::cluster::{self, Access, Cluster};
use crate::bench::Bench;

const MEASURE: &str = "kubernetes";

/// What to measure, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The scenario.
    #[arg(value_enum, default_value_t = Scenario::All)]
    scenario: Scenario,
    #[command(flatten)]
    access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Zeron's own share of a cold start, and the whole against a Deployment patched by hand.
    ColdStart,
    /// 10, 25 and 100 functions at zero, hit at once.
    Many,
    /// From a backlog to ten replicas.
    Kafka,
    /// 1,000 and 5,000 functions at zero, then `start-up` with them.
    Idle,
    /// Until ready, with 5,000 functions.
    StartUp,
    /// From a request that waits to the push that tells a KEDA of it.
    Push,
    /// All of them.
    All,
}

/// Measures what `options` name.
pub(super) fn run(bench: &mut Bench, options: &Options) -> Result<()> {
    let scenarios: [(Scenario, &'static str, cluster::Run<Cluster>); 6] = [
        (Scenario::ColdStart, "cold-start", cold_start::run),
        (Scenario::Many, "many", many::run),
        (Scenario::Idle, "idle", idle::run),
        (Scenario::StartUp, "start-up", start_up::run),
        (Scenario::Kafka, "kafka", kafka::run),
        (Scenario::Push, "push", push::run),
    ];
    let asked = scenarios.into_iter().filter(|it| match options.scenario {
        // `idle` ends with it.
        Scenario::All => it.0 != Scenario::StartUp,
        asked => asked == it.0,
    });
    let asked: Vec<_> = asked.map(|(_, name, run)| (name, run)).collect();
    let cluster = Cluster::connect(&bench.cores, &options.access)?;
    cluster::run_all(bench, MEASURE, &cluster, &asked)
}
