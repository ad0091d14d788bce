//! A steady load while a new revision takes over from the one before: as a Route does, requests change to it once it is ready,
//! and the old one is told that nothing leads to it any more.

use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::net::TcpStream;

use super::MEASURE;
use super::installation::{Installation, Side};
use super::revisions::{Revision, Template, revision};
use super::shapes::{Aims, Outcomes, Path, compare, load};
use crate::bench::Bench;
use crate::loadgen::{self, Load, Report};
use crate::measures::cluster::Cluster;
use crate::measures::cluster::namespace::{Kind, Namespace, is_ready};
use crate::measures::cluster::request::between;

/// Of a load of 100 ms: ten milliseconds for all on the way.
const AIMS: Aims = Aims {
    p95: 110.0,
    max: None,
};
const PER_SECOND: u32 = 1_000;
const SECONDS: u32 = 60;
const CONNECTIONS: usize = 4_000;
/// Of the load, before the new revision is declared.
const BEFORE: f64 = 0.25;
/// Until the new revision is ready.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// Requests that a pod takes at once.
const CONCURRENCY: u32 = 30;
/// Between two tries to reach a Service that the node may not know yet.
const TRY: Duration = Duration::from_millis(50);
/// Names, what leads through an activator always or never, and where it leads.
const FUNCTIONS: [(&str, &str, Path); 2] = [
    ("activator", "-1", Path::Activators),
    ("queue-proxy", "0", Path::Pods),
];

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let mut outcomes = Outcomes::begin("rollout-probe")?;
    let mut seconds = FUNCTIONS.map(|_| [Vec::new(), Vec::new()]);
    for round in 0..bench.rounds(3, 1) {
        for side in Side::in_turn(round) {
            installation.swap(side)?;
            for (number, function) in FUNCTIONS.into_iter().enumerate() {
                let (report, took) = probe(bench, installation, function)?;
                outcomes.add(function.0, round, side, &report)?;
                seconds[number][side as usize].push(took.as_secs_f64());
            }
        }
    }
    outcomes.figures(bench, AIMS)?;
    for ((name, ..), sides) in FUNCTIONS.iter().zip(&seconds) {
        let at = format!("{MEASURE}/rollout-probe/{name}/until-changed");
        bench.figure(compare(at, "s", sides, None));
    }
    Ok(())
}

/// One roll-out under load, and how long the new revision took to be ready.
fn probe(
    bench: &Bench,
    installation: &Installation,
    (name, capacity, path): (&'static str, &str, Path),
) -> Result<(Report, Duration)> {
    let cluster = &installation.cluster;
    let namespace = Namespace::create(&cluster.api, "kn-roll")?;
    let scaling = [
        ("min-scale", bench.size("5", "1")),
        ("max-scale", "10"),
        ("target-burst-capacity", capacity),
    ];
    let template = Template {
        image: &cluster.image,
        scaling: &scaling,
        concurrency: CONCURRENCY,
    };
    namespace.declare_revisions(&[name.to_owned()], &template)?;
    installation.wait_for_path(&namespace, &revision(name), path)?;
    let lasts = installation.pace.lasts(bench, SECONDS);
    let done = roll(bench, installation, &namespace, name, lasts);
    namespace.clear_revisions(cluster)?;
    done
}

fn roll(
    bench: &Bench,
    installation: &Installation,
    namespace: &Namespace,
    name: &str,
    lasts: Duration,
) -> Result<(Report, Duration)> {
    let cluster = &installation.cluster;
    let old = namespace.asked_at(cluster, [revision(name)].into_iter())?;
    let load = load(namespace, &old[0], CONNECTIONS)?;
    let arrivals = loadgen::ramp(&[installation.pace.rate(bench, PER_SECOND)], lasts);
    let (sender, changes) = mpsc::sync_channel(1);
    let report = std::thread::scope(|scope| {
        let rolling =
            scope.spawn(|| new_revision(cluster, namespace, name, lasts.mul_f64(BEFORE), &sender));
        let mut change = || changes.try_recv().ok();
        let report = bench.block_on(loadgen::open_loop_changing(
            &load,
            &arrivals,
            None,
            &mut change,
        ));
        let rolled = rolling
            .join()
            .map_err(|_| anyhow::anyhow!("the roll-out panicked"))?;
        anyhow::Ok((report?, rolled?))
    });
    let (report, (declared, changed)) = report?;
    let until = between(report.started, changed);
    anyhow::ensure!(
        until < lasts,
        "the new revision was ready after {until:.0?} of a load of {lasts:.0?}: give it more by --seconds"
    );
    Ok((report, between(declared, changed)))
}

/// Declares a new revision after a while, and sends requests there once it is ready: when both was.
fn new_revision(
    cluster: &Cluster,
    namespace: &Namespace,
    name: &str,
    after: Duration,
    sender: &mpsc::SyncSender<Load>,
) -> Result<(SystemTime, SystemTime)> {
    crate::measures::rest(after);
    let api = &cluster.api;
    let declared = SystemTime::now();
    // Nothing but the name of the revision depends on it.
    let annotations = json!({"bench.zeron.dev/number": "2"});
    let template = json!({"metadata": {"annotations": annotations}});
    let configuration = format!("{}/{name}", namespace.path(Kind::Configuration));
    let changed = json!({"spec": {"template": template}});
    api.block_on(api.patch(&configuration, &changed))?;
    let new = format!("{name}-00002");
    let is_there = |list: &serde_json::Value| {
        let mut all = list["items"].as_array()?.iter();
        all.any(|it| it["metadata"]["name"] == new && is_ready(it))
            .then_some(())
    };
    let revisions = namespace.path(Kind::Revision);
    api.block_on(api.wait(
        &revisions,
        "the new revision is ready",
        READY_WITHIN,
        is_there,
    ))?;
    let found = namespace.asked_at(cluster, [new.clone()].into_iter())?;
    api.block_on(reach(&found[0]))?;
    let changed = SystemTime::now();
    sender
        .send(load(namespace, &found[0], CONNECTIONS)?)
        .context("the load has ended")?;
    let labels = json!({"serving.knative.dev/routingState": "reserve"});
    let reserve = json!({"metadata": {"labels": labels}});
    let old = format!("{revisions}/{}", revision(name));
    api.block_on(api.patch(&old, &reserve))?;
    Ok((declared, changed))
}

/// Waits until the node knows a Service.
async fn reach(revision: &Revision) -> Result<()> {
    let tries = async {
        while TcpStream::connect(revision.service).await.is_err() {
            tokio::time::sleep(TRY).await;
        }
    };
    let reached = tokio::time::timeout(READY_WITHIN, tries).await;
    reached.with_context(|| format!("{} leads nowhere", revision.name))
}
