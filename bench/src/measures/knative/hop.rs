//! What the way through an activator costs a request, and what memory the activator needs for it.
//!
//! Both activators run as pods beside the installed one and are asked at their addresses; the direct way leads to the
//! queue-proxy of the same function's pod.

use std::time::Duration;

use anyhow::Result;

use super::MEASURE;
use super::installation::{Installation, PartPod, Side};
use super::revisions::{Template, revision};
use crate::affinity::Place;
use crate::bench::{Bench, Csv};
use crate::figure::{Aim, Figure};
use crate::loadgen::Target;
use crate::measures::cluster::namespace::Namespace;
use crate::measures::hop::{Aims, COLUMNS, Comparison, Pace, Way};
use crate::measures::{MIB, rest};
use crate::process::resident_bytes;

const SIZE: usize = 64;
/// Until an activator that got ready does nothing more.
const SETTLE: Duration = Duration::from_secs(10);

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let cluster = &installation.cluster;
    let namespace = Namespace::create(&cluster.api, "hop")?;
    let template = Template {
        image: &cluster.image,
        scaling: &[("min-scale", "1"), ("max-scale", "1")],
        concurrency: 0,
    };
    namespace.declare_revisions(&["warm".to_owned()], &template)?;
    let [knative, zeron] = Side::BOTH.map(|side| installation.activator(side));
    let (knative, zeron) = (knative?, zeron?);
    let pods = [knative.pod()?, zeron.pod()?];
    rest(bench.size(SETTLE, Duration::from_secs(1)));
    memory(bench, "idle", pods)?;
    let comparison = comparison(installation, &namespace, pods)?;
    let mut csv = Csv::create(MEASURE, "hop", COLUMNS)?;
    // The clients are pinned, pods are not: they are what they would be anywhere.
    let before = bench.cores.enter(Place::Generator)?;
    for pace in [Pace::PerSecond(1_000), Pace::PerSecond(2_000)] {
        comparison.run(bench, pace, &mut csv)?;
    }
    memory(bench, "after-2000-per-s", pods)?;
    comparison.run(bench, Pace::Saturation, &mut csv)?;
    before.restore()?;
    csv.close()?;
    namespace.clear_revisions(cluster)
}

fn comparison(
    installation: &Installation,
    namespace: &Namespace,
    pods: [PartPod; 2],
) -> Result<Comparison> {
    let revision = revision("warm");
    let path = format!("/bytes?n={SIZE}");
    let target = Target {
        body: Some(vec![b'z'; SIZE].into()),
        ..namespace.target(&revision, path)?
    };
    let queue = namespace.queue_proxy(&installation.cluster, &revision)?;
    let way = |name, address, pid| Way {
        name,
        address,
        target: target.clone(),
        pid,
    };
    let [knative, zeron] = pods;
    Ok(Comparison {
        measure: "knative/hop",
        size: SIZE,
        ways: [
            way("direct", queue, None),
            way("knative", knative.address, Some(knative.pid)),
            way("zeron", zeron.address, Some(zeron.pid)),
        ],
        aims,
    })
}

fn aims(pace: Pace) -> Aims {
    let is_thousand = pace == Pace::PerSecond(1_000);
    Aims {
        cpu: Some(match pace {
            Pace::PerSecond(_) => 0.45,
            Pace::Saturation => 0.3,
        }),
        added_p50: is_thousand.then_some(0.6),
        added_p99: is_thousand.then_some(0.1),
    }
}

fn memory(bench: &mut Bench, when: &str, pods: [PartPod; 2]) -> Result<()> {
    let [knative, zeron] = pods.map(|pod| resident_bytes(pod.pid));
    let (knative, zeron) = (knative? as f64 / MIB, zeron? as f64 / MIB);
    let figure = Figure::new(
        format!("{MEASURE}/activator-memory/{when}"),
        "MiB",
        zeron,
        1,
    );
    bench.figure(figure.with_floor(knative).with_aim(Aim::RatioAtMost(0.25)));
    Ok(())
}
