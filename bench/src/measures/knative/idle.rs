//! What revisions at zero cost an autoscaler: its CPU time and its memory, with nobody asking.

use std::time::Duration;

use anyhow::Result;

use super::MEASURE;
use super::installation::{Installation, Side};
use crate::bench::{Bench, Csv};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::namespace::Namespace;
use crate::measures::{MIB, rest};
use crate::process::{cpu_time, resident_bytes};
use crate::stats::{bootstrap_ratio, median};

const AUTOSCALER: &str = "autoscaler";
/// From when it is ready until it has read all, and freed memory has gone back to the system.
const SETTLE: Duration = Duration::from_secs(60);
/// One look; six of them are a minute.
const LOOK: Duration = Duration::from_secs(10);

/// One autoscaler's minutes.
#[derive(Clone, Debug, Default)]
struct Rest {
    /// Milliseconds of CPU time in a second, of each look.
    cpu: Vec<f64>,
    resident_mib: Vec<f64>,
}

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let cluster = &installation.cluster;
    let _setting = installation.allow_zero()?;
    let header = "revisions,round,side,look,cpu_ms_per_s,resident_mib";
    let mut csv = Csv::create(MEASURE, "idle", header)?;
    for count in bench.size([100, 600], [3, 6]) {
        let namespace = Namespace::create(&cluster.api, "kn-idle")?;
        let names: Vec<String> = (0..count).map(|number| format!("fn-{number}")).collect();
        namespace.never_started(cluster, &names)?;
        let mut rests = [Rest::default(), Rest::default()];
        for round in 0..bench.rounds(1, 1) {
            for side in Side::in_turn(round) {
                installation.swap_part(AUTOSCALER, side)?;
                let rest = &mut rests[side as usize];
                look(bench, installation, rest)?;
                let looks = rest.cpu.iter().zip(&rest.resident_mib).enumerate();
                for (number, (cpu, mib)) in looks {
                    csv.row(&[&count, &round, &side.name(), &number, cpu, mib])?;
                }
            }
        }
        figures(bench, count, &rests);
        namespace.clear_revisions(cluster)?;
    }
    csv.close()
}

fn look(bench: &Bench, installation: &Installation, found: &mut Rest) -> Result<()> {
    let pod = installation.pod(AUTOSCALER)?;
    rest(bench.size(SETTLE, Duration::from_secs(5)));
    let mut before = cpu_time(pod.pid)?;
    let every = bench.size(LOOK, Duration::from_secs(1));
    for _ in 0..6 {
        rest(every);
        let now = cpu_time(pod.pid)?;
        let used = now.since(&before).as_secs_f64() * 1e3;
        found.cpu.push(used / every.as_secs_f64());
        found
            .resident_mib
            .push(resident_bytes(pod.pid)? as f64 / MIB);
        before = now;
    }
    Ok(())
}

fn figures(bench: &mut Bench, count: usize, rests: &[Rest; 2]) {
    let [knative, zeron] = rests;
    let columns = [
        ("cpu", "ms/s", &knative.cpu, &zeron.cpu, 0.2),
        (
            "memory",
            "MiB",
            &knative.resident_mib,
            &zeron.resident_mib,
            0.4,
        ),
    ];
    for (name, unit, knative, zeron, most) in columns {
        let figure = Figure::new(
            format!("{MEASURE}/idle/{count}/autoscaler/{name}"),
            unit,
            median(zeron),
            zeron.len(),
        );
        bench.figure(
            figure
                .with_floor(median(knative))
                .with_spread(bootstrap_ratio(zeron, knative, 0.5))
                .with_aim(Aim::RatioAtMost(most)),
        );
    }
}
