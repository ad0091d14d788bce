//! Overload: a function that gets far more than it can serve, with clients that soon give up; and a full queue.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Pid;

use super::{MIB, PATIENCE, SAMPLE_COLUMNS, describe_failures, origin_target, rest, write_samples};
use crate::bench::{Bench, Csv, note, this_program};
use crate::figure::{Aim, Figure};
use crate::loadgen::{self, Arrival, Class, Load, Report, Sample};
use crate::process::resident_bytes;
use crate::stats::{median, quantile, slope};
use crate::subject::manifest::Service;
use crate::subject::zeron::Zeron;

const MEASURE: &str = "overload";
pub(super) const PER_SECOND: f64 = 200.0;
pub(super) const WORK_MS: u64 = 30_000;
/// Bytes that a function's waiting requests may hold, by default.
const QUEUE_CAP_MIB: f64 = 64.0;
/// Requests that may wait for a function, by default.
const QUEUE: usize = 10_000;
/// Growth over the measured time that counts as flat.
pub(super) const FLAT_MIB: f64 = 4.0;
/// When the queue is full, and refusals begin.
const FULL_AT: Duration = Duration::from_secs(8);
/// How long clients of a full queue stay.
const PATIENT: Duration = Duration::from_secs(25);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let command = [&this_program()?, "origin"].map(str::to_owned);
    let mut service = Service::new("busy", command.to_vec()).scaling("max-scale", "1");
    service.concurrency = 2;
    let zeron = bench.zeron(MEASURE, &[service.document()])?;
    zeron.wait_until_cold(PATIENCE)?;
    let mut csv = Csv::create(MEASURE, "requests", SAMPLE_COLUMNS)?;
    impatient(bench, &zeron, &service, &mut csv)?;
    full_queue(bench, &zeron, &service, &mut csv)?;
    csv.close()
}

fn load(zeron: &Zeron, service: &Service, connections: usize, timeout: Duration) -> Load {
    Load {
        address: zeron.address,
        targets: vec![origin_target(
            service.host(),
            &format!("/?bytes=64&work_ms={WORK_MS}"),
            64,
        )],
        connections,
        preconnect: false,
        timeout,
    }
}

/// Clients that leave after a second, for minutes.
fn impatient(bench: &mut Bench, zeron: &Zeron, service: &Service, csv: &mut Csv) -> Result<()> {
    let seconds = bench.size(bench.options.minutes * 60, 20);
    let load = load(zeron, service, 2_000, Duration::from_secs(1));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // minutes of 200 a second
    let arrivals = loadgen::constant(PER_SECOND, (PER_SECOND * seconds as f64) as usize, 1);
    let (report, resident) = bench.block_on(async {
        let series = watch_memory(zeron.process.pid(), Duration::from_secs(seconds));
        tokio::join!(loadgen::open_loop(&load, &arrivals), series)
    });
    let report = report?;
    anyhow::ensure!(
        resident.len() as u64 + 2 >= seconds,
        "zeron ended after {} s",
        resident.len()
    );
    note(format_args!(
        "{} requests by clients that leave after 1 s: {}",
        report.samples.len(),
        describe_failures(&report)
    ));
    write_samples(csv, "impatient", &report)?;
    let mut series = Csv::create(MEASURE, "resident", "seconds,mib")?;
    for (at, mib) in &resident {
        series.row(&[at, mib])?;
    }
    series.close()?;
    memory_figures(bench, &resident);
    Ok(())
}

/// Seconds and MiB of resident memory, once a second for as long as there is such a process.
pub(super) async fn watch_memory(pid: Pid, duration: Duration) -> Vec<(f64, f64)> {
    let began = Instant::now();
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let mut resident = Vec::new();
    while began.elapsed() < duration {
        every.tick().await;
        let Ok(bytes) = resident_bytes(pid) else {
            break;
        };
        resident.push((began.elapsed().as_secs_f64(), bytes as f64 / MIB));
    }
    resident
}

fn memory_figures(bench: &mut Bench, resident: &[(f64, f64)]) {
    let figure =
        |name: &str, value| Figure::new(format!("{MEASURE}/{name}"), "MiB", value, resident.len());
    bench.figure(
        figure("resident/max", most(resident))
            .with_floor(QUEUE_CAP_MIB)
            .with_aim(Aim::AtMost(QUEUE_CAP_MIB + 64.0)),
    );
    bench.figure(figure("resident/growth", growth(resident)).with_aim(Aim::AtMost(FLAT_MIB)));
    note(format_args!(
        "slope of resident memory: {:.3} MiB per minute",
        slope(steady(resident)) * 60.0
    ));
}

/// The first tenth fills queue, pools and caches.
fn steady(resident: &[(f64, f64)]) -> &[(f64, f64)] {
    &resident[resident.len() / 10..]
}

/// Most of all, in MiB.
pub(super) fn most(resident: &[(f64, f64)]) -> f64 {
    let mib = resident.iter().map(|(_, mib)| *mib);
    mib.fold(f64::NAN, f64::max)
}

/// MiB from the first third of the steady time to its last.
pub(super) fn growth(resident: &[(f64, f64)]) -> f64 {
    let steady = steady(resident);
    let third = steady.len() / 3;
    let mib = |part: &[(f64, f64)]| median(&part.iter().map(|(_, mib)| *mib).collect::<Vec<_>>());
    mib(&steady[steady.len() - third..]) - mib(&steady[..third])
}

/// Patient clients fill the queue; who comes then is refused at once, and told when to come again.
fn full_queue(bench: &mut Bench, zeron: &Zeron, service: &Service, csv: &mut Csv) -> Result<()> {
    let refused_for = bench.size(10.0, 2.0);
    // More than fit: it is full whatever the replica takes out of it.
    let fill = loadgen::constant(2_000.0, QUEUE + 500, 1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some thousands
    let more = loadgen::constant(PER_SECOND, (PER_SECOND * refused_for) as usize, 1);
    let more = more.into_iter().map(|arrival| Arrival {
        at: arrival.at + FULL_AT,
        ..arrival
    });
    let arrivals: Vec<Arrival> = fill.into_iter().chain(more).collect();
    wait_until_empty(zeron, service)?;
    let load = load(zeron, service, QUEUE + 3_000, PATIENT);
    let report = bench.block_on(loadgen::open_loop(&load, &arrivals))?;
    note(format_args!("full queue: {}", describe_failures(&report)));
    write_samples(csv, "full-queue", &report)?;
    refusal_figures(bench, &report);
    Ok(())
}

/// The clients of the first part are gone, and so must be their places.
fn wait_until_empty(zeron: &Zeron, service: &Service) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while zeron.status(&service.name, "queued")? > 0 {
        anyhow::ensure!(
            Instant::now() < deadline,
            "the queue keeps requests whose clients have left"
        );
        rest(Duration::from_millis(100));
    }
    Ok(())
}

fn refusal_figures(bench: &mut Bench, report: &Report) {
    let is_refusal =
        |sample: &&Sample| sample.intended >= FULL_AT && sample.reply.class == Class::Status(503);
    let late: usize = report
        .samples
        .iter()
        .filter(|sample| sample.intended >= FULL_AT)
        .count();
    let refusals: Vec<&Sample> = report.samples.iter().filter(is_refusal).collect();
    let latencies: Vec<f64> = refusals
        .iter()
        .map(|sample| sample.latency.as_secs_f64() * 1e3)
        .collect();
    let without = refusals
        .iter()
        .filter(|sample| !sample.reply.has_retry_after)
        .count();
    let figure = |name: &str, unit, value| {
        Figure::new(format!("{MEASURE}/{name}"), unit, value, refusals.len())
    };
    bench.figure(
        figure("refusal/p99", "ms", quantile(&latencies, 0.99)).with_aim(Aim::AtMost(10.0)),
    );
    bench.figure(
        figure("refusal/without-retry-after", "answers", without as f64).with_aim(Aim::AtMost(0.0)),
    );
    let missing = (late - refusals.len()) as f64;
    bench.figure(figure("refusal/not-refused", "requests", missing).with_aim(Aim::AtMost(0.0)));
}
