//! From zero to three times the rate in three steps, with activators in the way always, at zero alone, and while there is
//! little room for bursts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::MEASURE;
use super::installation::{Installation, Side};
use super::revisions::{Template, WINDOW, revision};
use super::shapes::{Aims, Outcomes, compare, load};
use crate::bench::Bench;
use crate::loadgen::{self, Report};
use crate::measures::cluster::api::Api;
use crate::measures::cluster::namespace::{Kind, Namespace};

/// Of a load of 100 ms, its start from zero included.
const AIMS: Aims = Aims {
    p95: 115.0,
    max: Some(10_000.0),
};
/// Of the first step; the others have twice and three times that.
const PER_SECOND: u32 = 1_000;
/// Of a step.
const SECONDS: u32 = 120;
/// All that come while the first pod starts wait, each on a connection of its own.
const CONNECTIONS: usize = 10_000;
/// A gateway would follow the Service at once; our connections do so soon.
const RENEW_AFTER: Duration = Duration::from_secs(1);
/// Names, and their target burst capacity.
const FUNCTIONS: [(&str, &str); 3] = [("always", "-1"), ("zero", "0"), ("200", "200")];
/// How often replicas are looked at.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let _setting = installation.hurry()?;
    let mut outcomes = Outcomes::begin("load-test")?;
    let mut replicas = FUNCTIONS.map(|_| [Vec::new(), Vec::new()]);
    for round in 0..bench.rounds(3, 1) {
        for side in Side::in_turn(round) {
            installation.swap(side)?;
            let namespace = at_zero(installation)?;
            for (number, (name, _)) in FUNCTIONS.into_iter().enumerate() {
                let (report, most) = climb(bench, installation, &namespace, name)?;
                outcomes.add(name, round, side, &report)?;
                replicas[number][side as usize].push(most);
            }
            namespace.clear_revisions(&installation.cluster)?;
        }
    }
    outcomes.figures(bench, AIMS)?;
    for ((name, _), sides) in FUNCTIONS.iter().zip(&replicas) {
        let at = format!("{MEASURE}/load-test/{name}/most-replicas");
        bench.figure(compare(at, "pods", sides, None));
    }
    Ok(())
}

/// A namespace with all functions at zero, which they were not before.
fn at_zero(installation: &Installation) -> Result<Namespace> {
    let cluster = &installation.cluster;
    let namespace = Namespace::create(&cluster.api, "kn-load")?;
    let scaling =
        FUNCTIONS.map(|(_, capacity)| [("window", WINDOW), ("target-burst-capacity", capacity)]);
    let declared = FUNCTIONS.iter().zip(&scaling).map(|((name, _), scaling)| {
        let template = Template {
            image: &cluster.image,
            scaling,
            concurrency: 0,
        };
        (function(name), template)
    });
    namespace.declare_each(&declared.collect::<Vec<_>>())?;
    namespace.wait_for_zero(cluster, FUNCTIONS.len())?;
    Ok(namespace)
}

/// A name that an object may have.
fn function(name: &str) -> String {
    format!("load-{name}")
}

/// One function's load, and the most replicas that were asked for; the function is deleted afterwards.
fn climb(
    bench: &Bench,
    installation: &Installation,
    namespace: &Namespace,
    name: &str,
) -> Result<(Report, f64)> {
    let (cluster, function) = (&installation.cluster, function(name));
    let revision = revision(&function);
    let found = namespace.asked_at(cluster, [revision.clone()].into_iter())?;
    let load = load(namespace, &found[0], CONNECTIONS)?;
    let first = installation.pace.rate(bench, PER_SECOND);
    let steps = [first, 2.0 * first, 3.0 * first];
    let arrivals = loadgen::ramp(&steps, installation.pace.lasts(bench, SECONDS));
    let deployment = format!("{}/{revision}-deployment", namespace.path(Kind::Deployment));
    let (most, looking) = watch_replicas(&cluster.api, deployment);
    let renewed = Some(RENEW_AFTER);
    let report = bench.block_on(loadgen::open_loop_changing(
        &load,
        &arrivals,
        renewed,
        &mut || None,
    ));
    looking.abort();
    namespace.remove_revision(cluster, &function)?;
    Ok((report?, most.load(Ordering::Relaxed) as f64))
}

/// The most replicas that a Deployment was asked for, until the task is ended.
fn watch_replicas(api: &Api, deployment: String) -> (Arc<AtomicU64>, tokio::task::JoinHandle<()>) {
    let most = Arc::new(AtomicU64::new(0));
    let (seen, api_) = (Arc::clone(&most), api.clone());
    let looking = api.spawn(async move {
        let mut every = tokio::time::interval(LOOK);
        loop {
            every.tick().await;
            // The next look tells.
            if let Ok(found) = api_.get(&deployment).await {
                let count = found["spec"]["replicas"].as_u64().unwrap_or(0);
                seen.fetch_max(count, Ordering::Relaxed);
            }
        }
    });
    (most, looking)
}
