//! A function that gets far more than it can serve, by clients that soon give up: what both activators' memory does.

use std::time::Duration;

use anyhow::Result;

use super::MEASURE;
use super::installation::{Installation, Side};
use super::revisions::{Template, revision};
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::loadgen::{self, Load, Target};
use crate::measures::cluster::namespace::Namespace;
use crate::measures::describe_failures;
use crate::measures::overload::{FLAT_MIB, PER_SECOND, WORK_MS, growth, most, watch_memory};

/// Seconds and MiB.
type Resident = Vec<(f64, f64)>;
/// One of all of them.
type Number = fn(&[(f64, f64)]) -> f64;

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let cluster = &installation.cluster;
    let namespace = Namespace::create(&cluster.api, "kn-overload")?;
    let template = Template {
        image: &cluster.image,
        scaling: &[("min-scale", "1"), ("max-scale", "1")],
        concurrency: 2,
    };
    namespace.declare_revisions(&["busy".to_owned()], &template)?;
    let target = namespace.target(&revision("busy"), format!("/work?ms={WORK_MS}"))?;
    let mut csv = Csv::create(MEASURE, "overload", "side,seconds,mib")?;
    let [knative, zeron] = Side::BOTH.map(|side| -> Result<Resident> {
        let resident = under_load(bench, installation, side, &target)?;
        for (at, mib) in &resident {
            csv.row(&[&side.name(), at, mib])?;
        }
        Ok(resident)
    });
    let (knative, zeron) = (knative?, zeron?);
    csv.close()?;
    figures(bench, &knative, &zeron);
    namespace.clear_revisions(cluster)
}

/// The memory of one side's activator, for as long as it lives.
fn under_load(
    bench: &Bench,
    installation: &Installation,
    side: Side,
    target: &Target,
) -> Result<Resident> {
    let seconds = bench.size(bench.options.minutes * 60, 20);
    let beside = installation.activator(side)?;
    let pod = beside.pod()?;
    let load = Load {
        address: pod.address,
        targets: vec![target.clone()],
        connections: 2_000,
        preconnect: false,
        timeout: Duration::from_secs(1),
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // minutes of 200 a second
    let arrivals = loadgen::constant(PER_SECOND, (PER_SECOND * seconds as f64) as usize, 1);
    let (report, resident) = bench.block_on(async {
        let series = watch_memory(pod.pid, Duration::from_secs(seconds));
        tokio::join!(loadgen::open_loop(&load, &arrivals), series)
    });
    let report = report?;
    note(format_args!(
        "{}: {} requests by clients that leave after 1 s: {}",
        side.name(),
        report.samples.len(),
        describe_failures(&report)
    ));
    if (resident.len() as u64) + 2 < seconds {
        note(format_args!(
            "{}: the process ended after {} s",
            side.name(),
            resident.len()
        ));
    }
    Ok(resident)
}

fn figures(bench: &mut Bench, knative: &Resident, zeron: &Resident) {
    let numbers: [(&str, Number); 2] = [("max", most), ("growth", growth)];
    for (name, of) in numbers {
        let figure = Figure::new(
            format!("{MEASURE}/overload/resident/{name}"),
            "MiB",
            of(zeron),
            zeron.len(),
        )
        .with_floor(of(knative));
        bench.figure(match name {
            "growth" => figure.with_aim(Aim::AtMost(FLAT_MIB)),
            _ => figure,
        });
    }
    // One that was killed is not flat.
    let lived = |resident: &Resident| resident.last().map_or(f64::NAN, |(at, _)| *at);
    let figure = Figure::new(
        format!("{MEASURE}/overload/lived"),
        "s",
        lived(zeron),
        zeron.len(),
    );
    bench.figure(figure.with_floor(lived(knative)));
}
