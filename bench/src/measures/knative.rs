//! Knative's own activator and autoscaler against ours: the same installation, the same functions, in turn.
//!
//! The parts are swapped by `zeron swap knative`; for `hop` and `overload` both activators run beside each other, as pods
//! that no Service leads to. What is found is put back: Knative's own parts, and its settings.

mod cold_start;
mod dataplane_probe;
mod hop;
mod idle;
mod installation;
mod load_test;
mod overload;
mod revisions;
mod rollout_probe;
mod scale_from_zero;
mod settings;
mod shapes;

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use self::installation::Installation;
use self::shapes::Pace;
use super::cluster::{self, Access, Cluster};
use super::rest;
use crate::affinity::Place;
use crate::bench::{Bench, note};

const MEASURE: &str = "knative";

/// Longest wait for tests that use the same installation.
const FREE_WITHIN: Duration = Duration::from_secs(900);

/// What to measure, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The scenario.
    #[arg(value_enum, default_value_t = Scenario::All)]
    scenario: Scenario,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    pace: Pace,
    /// Zeron's image, which the node must have [default: made of the binary and loaded by `cargo xtask`].
    #[arg(long, value_name = "NAME")]
    zeron_image: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// What the way through an activator costs, and its memory.
    Hop,
    /// The own share of a cold start, and the whole.
    ColdStart,
    /// 1, 5 and 25 functions at zero, asked at once; plain Deployments beside them.
    #[value(alias = "many")]
    ScaleFromZero,
    /// The autoscaler with 100 and 600 revisions at zero.
    Idle,
    /// Far more than a function can serve, by clients that soon give up: the activator's memory.
    Overload,
    /// A steady load on functions that do not scale: through an activator, to the queue-proxy, to plain pods.
    DataplaneProbe,
    /// From zero to three times the rate in three steps, with three target burst capacities.
    LoadTest,
    /// A steady load while a new revision takes over.
    RolloutProbe,
    /// All of them.
    All,
}

/// Measures what `options` name.
pub(super) fn run(bench: &mut Bench, options: &Options) -> Result<()> {
    let scenarios: [(Scenario, &'static str, cluster::Run<Installation>); 8] = [
        (Scenario::Hop, "hop", hop::run),
        (Scenario::ColdStart, "cold-start", cold_start::run),
        (
            Scenario::ScaleFromZero,
            "scale-from-zero",
            scale_from_zero::run,
        ),
        (Scenario::Idle, "idle", idle::run),
        (Scenario::Overload, "overload", overload::run),
        (
            Scenario::DataplaneProbe,
            "dataplane-probe",
            dataplane_probe::run,
        ),
        (Scenario::LoadTest, "load-test", load_test::run),
        (Scenario::RolloutProbe, "rollout-probe", rollout_probe::run),
    ];
    let is_asked = |it: &(Scenario, _, _)| {
        matches!(options.scenario, Scenario::All) || options.scenario == it.0
    };
    let asked = scenarios.into_iter().filter(is_asked);
    let asked: Vec<_> = asked.map(|(_, name, run)| (name, run)).collect();
    let cluster = Cluster::connect(&bench.cores, &options.access)?;
    let image = match &options.zeron_image {
        Some(image) => image.clone(),
        None => {
            let before = bench.cores.enter(Place::Anywhere)?;
            let image = installation::load_image(bench);
            before.restore()?;
            image?
        }
    };
    // Activators beside the installed one are in nobody's way.
    let is_beside = matches!(options.scenario, Scenario::Hop | Scenario::Overload);
    let _lock = lock(&cluster, is_beside)?;
    let installation = Installation::find(cluster, options.pace, bench.zeron_program()?, image)?;
    cluster::run_all(bench, MEASURE, &installation, &asked)
}

/// Takes the installation as tests do, for this process alone or beside others; nothing where the cluster is not one of
/// `cargo xtask cluster up`.
fn lock(cluster: &Cluster, is_shared: bool) -> Result<Option<File>> {
    let Some(state) = &cluster.state else {
        return Ok(None);
    };
    let file = File::create(state.join("knative.lock")).context("the cluster's folder")?;
    let began = Instant::now();
    let mut is_told = false;
    loop {
        let locked = if is_shared {
            file.try_lock_shared()
        } else {
            file.try_lock()
        };
        match locked {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) => {}
        }
        if !is_told {
            note("waiting for tests that use this Knative");
            is_told = true;
        }
        anyhow::ensure!(
            began.elapsed() < FREE_WITHIN,
            "tests use this Knative all the time"
        );
        rest(Duration::from_millis(200));
    }
}
