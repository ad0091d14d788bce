//! Many triggers of mixed kind on real servers, of which some die and some hang: are the others read on time, and does
//! nothing fall to zero?
//!
//! Every trigger has a ScaledObject and a Deployment of its own, read every ten seconds (`pollingInterval: 10`). One
//! percent of each kind reads a server behind a way that closes its port, one percent a server behind a way that takes
//! connections and never answers. Functions with work are up all the time, also those whose source then fails.

mod fleet;
mod kinds;
mod looks;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use self::fleet::{Fleet, Trigger};
use self::looks::Looks;
use super::{MIB, rest};
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::process::{cpu_time, resident_bytes};
use crate::stats::quantile;
use crate::subject::zeron::Zeron;

const MEASURE: &str = "triggers";
/// Of every trigger.
const INTERVAL: Duration = Duration::from_secs(10);
/// From the start until everything is read, and from the end of the faults.
const KNOWN_WITHIN: Duration = Duration::from_secs(240);
/// Well under the interval: no evaluation is missed.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// What zeron took.
#[derive(Debug)]
struct Cost {
    cpu_percent: f64,
    resident: u64,
    threads: usize,
    files: usize,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let count = bench.size(10_000, 200);
    let fleet = Fleet::start(count, !bench.options.quick)?;
    note(format_args!("{fleet}; pollingInterval {INTERVAL:?}"));
    let began = Instant::now();
    let zeron = bench.zeron(MEASURE, &documents(fleet.triggers()))?;
    let mut looks = Looks::of(fleet.triggers(), INTERVAL);
    wait_until_all_known(&mut looks, &zeron)?;
    let known_after = began.elapsed();
    rest(INTERVAL);
    let before = cost(bench, &zeron)?;

    looks.begin(&zeron)?;
    fleet.strike();
    let end = Instant::now() + bench.size(Duration::from_secs(90), Duration::from_secs(40));
    while Instant::now() < end {
        rest(LOOK_EVERY);
        looks.look(&zeron)?;
    }
    looks.end();
    let during = cost(bench, &zeron)?;
    let failed = looks.failed();
    ensure!(
        failed == fleet.failing(),
        "the faults came upon {failed} triggers, not {}",
        fleet.failing()
    );
    fleet.heal();
    let healed = Instant::now();
    wait_until_all_known(&mut looks, &zeron)?;
    let recovered_after = healed.elapsed();

    let mut csv = Csv::create(MEASURE, "evaluations", "trigger,late_s")?;
    for (name, late) in looks.lateness() {
        csv.row(&[name, late])?;
    }
    csv.close()?;
    let count = fleet.triggers().len();
    judge(bench, count, &looks);
    for (when, cost) in [("at-rest", before), ("under-faults", during)] {
        costs(bench, &format!("{MEASURE}/{count}/{when}"), &cost);
    }
    for (what, time) in [
        ("all-known-after", known_after),
        ("recovered-after", recovered_after),
    ] {
        let name = format!("{MEASURE}/{count}/{what}");
        bench.figure(Figure::new(name, "s", time.as_secs_f64(), 1));
    }
    Ok(())
}

/// Every function that has work is up as well.
fn wait_until_all_known(looks: &mut Looks<'_>, zeron: &Zeron) -> Result<()> {
    let deadline = Instant::now() + KNOWN_WITHIN;
    loop {
        let missing = looks.missing(zeron)?;
        if missing.is_empty() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} triggers are unknown, or their functions are not up, such as {}",
            missing.len(),
            missing[0]
        );
        rest(Duration::from_secs(1));
    }
}

/// CPU over some intervals in which nobody looks, and what it holds at their end.
fn cost(bench: &Bench, zeron: &Zeron) -> Result<Cost> {
    let pid = zeron.process.pid();
    let (from, before) = (Instant::now(), cpu_time(pid)?);
    rest(INTERVAL * bench.size(3, 1));
    let used = cpu_time(pid)?.since(&before).as_secs_f64();
    Ok(Cost {
        cpu_percent: used / from.elapsed().as_secs_f64() * 100.0,
        resident: resident_bytes(pid)?,
        threads: std::fs::read_dir(format!("/proc/{pid}/task"))?.count(),
        files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
    })
}

#[allow(clippy::cast_precision_loss)]
fn judge(bench: &mut Bench, count: usize, looks: &Looks<'_>) {
    let late: Vec<f64> = looks.lateness().map(|(_, late)| *late).collect();
    for (name, value, aim) in [
        ("lateness/p99", quantile(&late, 0.99), Some(1.0)),
        ("lateness/max", quantile(&late, 1.0), None),
    ] {
        let name = format!("{MEASURE}/{count}/{name}");
        let figure = Figure::new(name, "s", value, late.len());
        bench.figure(match aim {
            Some(most) => figure.with_aim(Aim::AtMost(most)),
            None => figure,
        });
    }
    for (name, found) in [
        ("healthy-unknown", looks.unknown()),
        ("dropped-to-zero", looks.dropped()),
        ("woken-without-work", looks.woken()),
    ] {
        if let Some(first) = found.first() {
            note(format_args!("{name}: {} such as {first}", found.len()));
        }
        let name = format!("{MEASURE}/{count}/{name}");
        let figure = Figure::new(name, "functions", found.len() as f64, count);
        bench.figure(figure.with_aim(Aim::AtMost(0.0)));
    }
}

#[allow(clippy::cast_precision_loss)]
fn costs(bench: &mut Bench, name: &str, cost: &Cost) {
    for (what, unit, value) in [
        ("cpu", "% of a core", cost.cpu_percent),
        ("resident", "MiB", cost.resident as f64 / MIB),
        ("threads", "threads", cost.threads as f64),
        ("open-files", "files", cost.files as f64),
    ] {
        bench.figure(Figure::new(format!("{name}/{what}"), unit, value, 1));
    }
}

fn documents(triggers: &[Trigger]) -> Vec<Value> {
    let mut documents = kinds::authentication();
    for trigger in triggers {
        let name = &trigger.name;
        let labels = json!({"app": name});
        let container = json!({"name": "main", "image": "bench", "command": ["sleep", "100000"]});
        documents.push(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container]},
            }},
        }));
        let mut declared = json!({"type": trigger.kind, "metadata": trigger.metadata});
        if trigger.kind == kinds::WITH_PASSWORD {
            declared["authenticationRef"] = json!({"name": kinds::AUTHENTICATION});
        }
        // Whatever would go down does so at once.
        let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
        documents.push(json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": name},
            "spec": {
                "scaleTargetRef": {"name": name},
                "pollingInterval": INTERVAL.as_secs(),
                "cooldownPeriod": 1,
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
                "triggers": [declared],
            },
        }));
    }
    documents
}
