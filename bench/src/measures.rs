//! The measures, each a scenario that adds its figures.

mod burst;
mod cluster;
mod cold_rate;
mod cold_start;
mod hop;
mod kafka;
pub(crate) mod knative;
pub(crate) mod kubernetes;
mod memory;
mod overload;
mod rhythm;
pub(crate) mod sources;
mod triggers;
mod warm_hop;
mod zero_race;

use std::time::Duration;

use anyhow::Result;
use http::HeaderMap;

use crate::affinity::Place;
use crate::bench::{Bench, Csv, note};
use crate::figure::Figure;
use crate::loadgen::{self, Load, Report, Target};
use crate::options::Role;
use crate::subject::manifest::Service;
use crate::subject::{Listening, origin};

/// Longer than anything that ends well.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the tiny function answers with 64 bytes that do not depend on who started it.
const TINY_PATH: &str = "/bytes?n=64";
const MIB: f64 = 1_048_576.0;

/// Runs what was asked for, between two looks at the machine.
pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    bench.calibrate()?;
    let role = bench.options.role.clone();
    if matches!(role, Role::Calibrate) {
        return ceiling(bench);
    }
    bench.build_subjects()?;
    match role {
        Role::ColdStart => cold_start::run(bench),
        Role::WarmHop => warm_hop::run(bench),
        Role::ColdRate => cold_rate::run(bench),
        Role::Burst => burst::run(bench),
        Role::Memory => memory::run(bench),
        Role::ZeroRace => zero_race::run(bench),
        Role::Kafka => kafka::run(bench),
        Role::KafkaGroups => kafka::run_groups(bench),
        Role::Sources(options) => sources::run(bench, &options),
        Role::Triggers => triggers::run(bench),
        Role::Overload => overload::run(bench),
        Role::Kubernetes(options) => kubernetes::run(bench, &options),
        Role::Knative(options) => knative::run(bench, &options),
        Role::All => all(bench),
        Role::Calibrate | Role::Origin(_) | Role::Floor(_) => Ok(()),
    }?;
    bench.calibrate()
}

type Measure = fn(&mut Bench) -> Result<()>;

fn all(bench: &mut Bench) -> Result<()> {
    let measures: [(&str, Measure); 11] = [
        ("cold-start", cold_start::run),
        ("warm-hop", warm_hop::run),
        ("cold-rate", cold_rate::run),
        ("burst", burst::run),
        ("memory", memory::run),
        ("zero-race", zero_race::run),
        ("kafka", kafka::run),
        ("kafka-groups", kafka::run_groups),
        ("sources", |bench| {
            sources::run(bench, &sources::Options::default())
        }),
        ("triggers", triggers::run),
        ("overload", overload::run),
    ];
    let mut failed = Vec::new();
    for (name, measure) in measures {
        note(format_args!("== {name}"));
        if let Err(error) = measure(bench) {
            note(format_args!("{name} failed: {error:#}"));
            failed.push(name);
        }
    }
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The generator against the origin with nobody in between: what it cannot exceed.
fn ceiling(bench: &mut Bench) -> Result<()> {
    let origin = Listening::start(&["origin"], &bench.cores, Place::Generator)?;
    let load = Load {
        address: origin.address,
        targets: vec![origin_target(
            "origin.localhost".to_owned(),
            "/?bytes=64",
            64,
        )],
        connections: 32,
        preconnect: true,
        timeout: PATIENCE,
    };
    let duration = bench.size(Duration::from_secs(3), Duration::from_millis(300));
    let report = bench.block_on(loadgen::closed_loop(&load, duration))?;
    bench.figure(Figure::new(
        "calibrate/generator-ceiling/64B",
        "per s",
        report.per_second(),
        1,
    ));
    Ok(())
}

fn origin_target(host: String, path: &str, size: usize) -> Target {
    Target {
        host,
        path: path.to_owned(),
        headers: HeaderMap::new(),
        body: Some(origin::body(size)),
    }
}

/// `count` services of the tiny function, all at zero, that stay up once they were woken.
fn tiny_services(bench: &Bench, prefix: &str, count: usize) -> Result<Vec<Service>> {
    let command = vec![bench.function_program()?.display().to_string()];
    let service =
        |i| Service::new(format!("{prefix}-{i:05}"), command.clone()).scaling("window", "600s");
    Ok((0..count).map(service).collect())
}

/// Writes every request of a load as a row.
fn write_samples(csv: &mut Csv, label: &str, report: &Report) -> Result<()> {
    for sample in &report.samples {
        let reply = &sample.reply;
        csv.row(&[
            &label,
            &sample.target,
            &sample.intended.as_micros(),
            &sample.late.as_micros(),
            &sample.latency.as_micros(),
            &reply.class,
            &u8::from(reply.has_retry_after),
            &reply.instance,
            &reply.peak,
        ])?;
    }
    Ok(())
}

/// Columns of [`write_samples`].
const SAMPLE_COLUMNS: &str =
    "load,target,intended_us,late_us,latency_us,outcome,retry_after,instance,peak";

fn describe_failures(report: &Report) -> String {
    let failures: Vec<String> = report
        .failures()
        .iter()
        .map(|(class, count)| format!("{count} {class}"))
        .collect();
    if failures.is_empty() {
        "no failures".to_owned()
    } else {
        failures.join(", ")
    }
}

/// Lets the machine come to rest between samples. Not a wait for a condition: there is none to wait for.
fn rest(duration: Duration) {
    let until = std::time::Instant::now() + duration;
    while let Some(left) = until
        .checked_duration_since(std::time::Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}
