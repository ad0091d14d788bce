//! A steady load on functions that never scale: what the ways to the same work add to it.
//!
//! Through a queue-proxy alone, through an activator as well, and to a plain Deployment, with either side's parts installed.
//! The first and the last way touch none of the parts that differ: they show by how much turns differ by themselves.

use std::net::SocketAddr;

use anyhow::Result;
use http::HeaderMap;

use super::installation::{Installation, Side};
use super::revisions::{Template, cluster_ip, revision};
use super::shapes::{Aims, Outcomes, Path, WORK, load, load_of};
use crate::affinity::Place;
use crate::bench::Bench;
use crate::loadgen::{self, Load, Target};
use crate::measures::cluster::Cluster;
use crate::measures::cluster::namespace::{Kind, Namespace};
use crate::measures::cluster::plain;

/// Of a load of 100 ms: ten milliseconds for all on the way.
const AIMS: Aims = Aims {
    p95: 110.0,
    max: None,
};
const PER_SECOND: u32 = 1_000;
const SECONDS: u32 = 30;
/// More than are under way at once.
const CONNECTIONS: usize = 2_000;
/// The plain one.
const DEPLOYMENT: &str = "deployment";
/// The way, its function and what leads through an activator always or never.
const FUNCTIONS: [(&str, &str, Path); 2] = [
    ("activator", "-1", Path::Activators),
    ("queue-proxy", "0", Path::Pods),
];

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let cluster = &installation.cluster;
    let namespace = Namespace::create(&cluster.api, "kn-probe")?;
    let mut ways = functions(cluster, &namespace, bench.size("5", "1"))?;
    ways.push(deployment(cluster, &namespace, bench.size(5, 1))?);
    let mut outcomes = Outcomes::begin("dataplane-probe")?;
    for round in 0..bench.rounds(5, 1) {
        for side in Side::in_turn(round) {
            installation.swap(side)?;
            for (name, _, path) in FUNCTIONS {
                installation.wait_for_path(&namespace, &revision(name), path)?;
            }
            for (name, load) in &ways {
                outcomes.add(name, round, side, &probe(bench, installation, load)?)?;
            }
        }
    }
    outcomes.figures(bench, AIMS)?;
    let deployment = format!("{}/{DEPLOYMENT}", namespace.path(Kind::Deployment));
    cluster.api.block_on(cluster.api.delete(&deployment))?;
    namespace.clear_revisions(cluster)
}

fn probe(bench: &Bench, installation: &Installation, load: &Load) -> Result<loadgen::Report> {
    let rate = installation.pace.rate(bench, PER_SECOND);
    let lasts = installation.pace.lasts(bench, SECONDS);
    // The clients are pinned, pods are not: they are what they would be anywhere.
    let before = bench.cores.enter(Place::Generator)?;
    let report = bench.block_on(loadgen::open_loop(load, &loadgen::ramp(&[rate], lasts)));
    before.restore()?;
    report
}

/// A way, and how it is taken.
type Way = (&'static str, Load);

fn functions(cluster: &Cluster, namespace: &Namespace, replicas: &str) -> Result<Vec<Way>> {
    let scaling = FUNCTIONS.map(|(_, capacity, _)| {
        let key = "target-burst-capacity";
        [
            ("min-scale", replicas),
            ("max-scale", replicas),
            (key, capacity),
        ]
    });
    let declared = FUNCTIONS.iter().zip(&scaling).map(|((name, ..), scaling)| {
        let template = Template {
            image: &cluster.image,
            scaling,
            concurrency: 0,
        };
        ((*name).to_owned(), template)
    });
    namespace.declare_each(&declared.collect::<Vec<_>>())?;
    let names = FUNCTIONS.map(|(name, ..)| revision(name));
    let found = namespace.asked_at(cluster, names.into_iter())?;
    let ways = FUNCTIONS.iter().zip(&found);
    ways.map(|((name, ..), revision)| Ok((*name, load(namespace, revision, CONNECTIONS)?)))
        .collect()
}

/// As many pods that nobody scales, behind a Service.
fn deployment(cluster: &Cluster, namespace: &Namespace, replicas: u32) -> Result<Way> {
    let mut object = plain::deployment(DEPLOYMENT, &cluster.image);
    object["spec"]["replicas"] = replicas.into();
    let service = plain::service(DEPLOYMENT);
    namespace.create_all(vec![(Kind::Deployment, object), (Kind::Service, service)])?;
    let all_ready =
        |it: &serde_json::Value| it["status"]["readyReplicas"] == it["spec"]["replicas"];
    let count = FUNCTIONS.len() + 1;
    namespace.wait_for_all(Kind::Deployment, "all pods are ready", count, all_ready)?;
    let path = namespace.path(Kind::Service);
    let list = cluster.api.block_on(cluster.api.get(&path))?;
    let target = Target {
        host: DEPLOYMENT.to_owned(),
        path: WORK.to_owned(),
        headers: HeaderMap::new(),
        body: None,
    };
    let address = SocketAddr::new(cluster_ip(&list, DEPLOYMENT)?, 80);
    Ok((DEPLOYMENT, load_of(address, target, CONNECTIONS)))
}
