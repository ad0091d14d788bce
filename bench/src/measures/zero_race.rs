//! Zero race: requests that land around the moment at which the last replica is told to stop.
//!
//! Origins tell when SIGTERM reaches them. Each function has a task: settle (a request that keeps it up), wait for
//! the learned idle time, and send a request within 20 ms of the expected signal, before or after. What comes
//! before it is served by the old replica, what comes after it starts a new one; nothing may be lost or stuck.

mod racer;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{PATIENCE, origin_target};
use crate::bench::{Bench, Csv, note, this_program};
use crate::figure::{Aim, Figure};
use crate::loadgen::{Class, Client, Load};
use crate::stats::{bootstrap, quantile};
use crate::subject::events::{Event, Events, What};
use crate::subject::manifest::{Service, autoscaler_config};

use racer::{Racer, Row, Sent};

const MEASURE: &str = "zero-race";
/// Farthest from the signal that a request counts as landing around it.
const AROUND: Duration = Duration::from_millis(20);
/// Between the first requests of two functions.
const STAGGER: Duration = Duration::from_millis(45);
/// However few requests have landed.
const LONGEST: Duration = Duration::from_secs(30 * 60);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let (functions, landings) = (bench.size(200, 8), bench.size(10_000, 16));
    let events = Events::listen()?;
    let services: Vec<Service> = (0..functions)
        .map(|number| service(&events, number))
        .collect::<Result<_>>()?;
    let settings = [
        ("scale-to-zero-grace-period", "1s"),
        ("scale-to-zero-pod-retention-period", "0s"),
    ];
    let mut documents: Vec<Value> = services.iter().map(Service::document).collect();
    documents.push(autoscaler_config(&settings));
    let zeron = bench.zeron(MEASURE, &documents)?;
    zeron.wait_until_cold(PATIENCE)?;
    let client = Client::new(&Load {
        address: zeron.address,
        targets: services
            .iter()
            .map(|service| origin_target(service.host(), "/?bytes=64", 64))
            .collect(),
        connections: 2 * functions,
        preconnect: false,
        timeout: PATIENCE,
    })?;
    let rows = bench.block_on(race(&client, events, functions, landings))?;
    let mut csv = Csv::create(
        MEASURE,
        "requests",
        "function,sent,planned_us,offset_us,latency_us,outcome,instance",
    )?;
    for row in &rows {
        csv.row(&[
            &row.function,
            &row.sent,
            &micros(row.planned_us),
            &micros(row.offset_us),
            &row.latency.as_micros(),
            &row.class,
            &row.instance,
        ])?;
    }
    figures(bench, &rows);
    csv.close()
}

fn micros(value: Option<i64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn name(number: usize) -> String {
    format!("race-{number}")
}

fn service(events: &Events, number: usize) -> Result<Service> {
    let name = name(number);
    let command = vec![this_program()?, "origin".to_owned()];
    let mut service = Service::new(&*name, command)
        .scaling("window", "6s")
        .scaling("max-scale", "1");
    service.env = events.environment(&name);
    Ok(service)
}

async fn race(
    client: &Client,
    mut events: Events,
    functions: usize,
    landings: usize,
) -> Result<Vec<Row>> {
    let landed = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut racers = JoinSet::new();
    let mut signals = Vec::new();
    for function in 0..functions {
        let (sender, receiver) = mpsc::channel(64);
        signals.push(sender);
        let racer = Racer::new(function, client.clone(), receiver, Arc::clone(&landed));
        let start = tokio::time::Instant::now() + STAGGER * u32::try_from(function)?;
        racers.spawn(async move {
            tokio::time::sleep_until(start).await;
            racer.run(landings, began + LONGEST).await
        });
    }
    let mut rows = Vec::new();
    loop {
        tokio::select! {
            event = events.next() => pass_on(&event?, &signals).await?,
            done = racers.join_next() => match done {
                Some(done) => rows.extend(done.context("a racer panicked")??),
                None => return Ok(rows),
            },
        }
    }
}

/// Gives a signal to the function's racer. One that has finished no longer cares.
async fn pass_on(event: &Event, signals: &[mpsc::Sender<Instant>]) -> Result<()> {
    if event.what == What::Start {
        return Ok(());
    }
    let at = Instant::now() - event.at.elapsed().unwrap_or_default();
    let function = event
        .name
        .strip_prefix("race-")
        .and_then(|number| number.parse::<usize>().ok());
    let signal = function
        .and_then(|function| signals.get(function))
        .context("an event of nobody")?;
    signal.send(at).await.ok();
    Ok(())
}

fn figures(bench: &mut Bench, rows: &[Row]) {
    let probes: Vec<&Row> = rows.iter().filter(|row| row.sent == Sent::Probe).collect();
    let millis = |row: &Row| row.latency.as_secs_f64() * 1e3;
    let cold: Vec<f64> = rows
        .iter()
        .filter(|row| row.sent == Sent::First)
        .map(millis)
        .collect();
    let cold_p50 = quantile(&cold, 0.5);
    let lost = rows.iter().filter(|row| row.class != Class::Ok).count();
    let slow = probes
        .iter()
        .filter(|row| row.class == Class::Ok && millis(row) > 10.0 * cold_p50)
        .count();
    let after = probes.iter().filter(|row| row.is_around()).count();
    let prevented = probes
        .iter()
        .filter(|row| row.offset_us.is_none() && row.planned_us.is_some())
        .count();
    note(format_args!(
        "{} requests aimed: {after} within {AROUND:?} of an observed SIGTERM, {prevented} came first and prevented it, {} missed by more",
        probes.len(),
        probes.len() - after - prevented,
    ));
    let figure = |name: &str, unit, value| {
        Figure::new(format!("{MEASURE}/{name}"), unit, value, probes.len())
    };
    bench.figure(figure("lost", "requests", lost as f64).with_aim(Aim::AtMost(0.0)));
    let share = 100.0 * slow as f64 / probes.len() as f64;
    bench.figure(figure("slower-than-10x-cold-p50", "%", share).with_aim(Aim::AtMost(0.1)));
    let p50 = Figure::new(
        format!("{MEASURE}/cold-start/p50"),
        "ms",
        cold_p50,
        cold.len(),
    );
    bench.figure(p50.with_spread(bootstrap(&cold, 0.5)));
    let latencies: Vec<f64> = probes.iter().map(|row| millis(row)).collect();
    bench.figure(figure("landed/p50", "ms", quantile(&latencies, 0.5)));
    bench.figure(figure("landed/p99.9", "ms", quantile(&latencies, 0.999)).with_floor(cold_p50));
    bench.figure(figure("landed/around-observed", "requests", after as f64));
}
