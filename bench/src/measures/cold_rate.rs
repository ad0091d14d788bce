//! Cold starts per second: an open loop in which every request wakes another function, stepped up until it breaks.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::HeaderMap;

use super::{
    PATIENCE, SAMPLE_COLUMNS, TINY_PATH, describe_failures, rest, tiny_services, write_samples,
};
use crate::affinity::Place;
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::loadgen::{self, Class, Load, Target};
use crate::stats::{bootstrap, quantile};
use crate::subject::direct;
use crate::subject::manifest::Service;

const MEASURE: &str = "cold-rate";
/// Cold starts per second, stepped up; the first is what the others are compared with.
const STEPS: [f64; 9] = [1.0, 10.0, 25.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0];

/// What one rate gave, over all rounds.
struct Step {
    rate: f64,
    latencies_ms: Vec<f64>,
    failures: usize,
}

impl Step {
    fn p99_ms(&self) -> f64 {
        quantile(&self.latencies_ms, 0.99)
    }
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let functions = bench.size(200, 5);
    let services = tiny_services(bench, "rate", functions)?;
    let mut csv = Csv::create(MEASURE, "requests", SAMPLE_COLUMNS)?;
    let floor = direct_rate(bench)?;
    let mut steps: Vec<Step> = Vec::new();
    let mut broken = 0;
    for rate in bench.size(&STEPS[..], &[5.0, 10.0]) {
        let step = step(bench, &services, *rate, &mut csv)?;
        let base = steps.first().map_or(f64::INFINITY, Step::p99_ms);
        broken += usize::from(!holds(&step, base));
        note(format_args!(
            "{rate}/s: p50 {:.1} ms, p99 {:.1} ms, {} failures",
            quantile(&step.latencies_ms, 0.5),
            step.p99_ms(),
            step.failures
        ));
        steps.push(step);
        if broken == 2 {
            break;
        }
    }
    figures(bench, &steps, floor);
    csv.close()
}

fn holds(step: &Step, base_p99_ms: f64) -> bool {
    step.failures == 0 && step.p99_ms() <= 2.0 * base_p99_ms
}

/// One rate. Each round has a new zeron: every function is at zero, and nothing of the last round is left.
fn step(bench: &Bench, services: &[Service], rate: f64, csv: &mut Csv) -> Result<Step> {
    let rounds = if rate <= 1.0 { 1 } else { bench.rounds(3, 1) };
    let documents: Vec<_> = services.iter().map(Service::document).collect();
    let targets = services.iter().map(|service| Target {
        host: service.host(),
        path: TINY_PATH.to_owned(),
        headers: HeaderMap::new(),
        body: None,
    });
    let targets: Vec<Target> = targets.collect();
    let mut step = Step {
        rate,
        latencies_ms: Vec::new(),
        failures: 0,
    };
    for round in 0..rounds {
        let zeron = bench.zeron(MEASURE, &documents)?;
        zeron.wait_until_cold(PATIENCE)?;
        rest(Duration::from_millis(500));
        let load = Load {
            address: zeron.address,
            targets: targets.clone(),
            connections: services.len(),
            preconnect: true,
            timeout: PATIENCE,
        };
        let report = bench.block_on(loadgen::open_loop(
            &load,
            &loadgen::constant(rate, services.len(), services.len()),
        ))?;
        write_samples(csv, &format!("{rate}/{round}"), &report)?;
        step.failures += report.samples.len() - report.ok();
        if report.ok() < report.samples.len() {
            note(format_args!("{rate}/s: {}", describe_failures(&report)));
        }
        let right = report
            .samples
            .iter()
            .filter(|sample| sample.reply.class == Class::Ok);
        step.latencies_ms
            .extend(right.map(|sample| sample.latency.as_secs_f64() * 1e3));
    }
    Ok(step)
}

/// Direct starts per second, one after the other: spawn, first byte, kill, reap.
fn direct_rate(bench: &Bench) -> Result<f64> {
    let program = bench.function_program()?;
    let starts = bench.size(200, 5);
    let before = bench.cores.enter(Place::Anywhere)?;
    let began = Instant::now();
    for _ in 0..starts {
        direct::start(&program, TINY_PATH, &bench.cores, PATIENCE)?.end();
    }
    let rate = f64::from(starts) / began.elapsed().as_secs_f64();
    before.restore()?;
    Ok(rate)
}

fn figures(bench: &mut Bench, steps: &[Step], floor: f64) {
    let base = steps.first().map_or(f64::NAN, Step::p99_ms);
    let best = steps
        .iter()
        .take_while(|step| holds(step, base))
        .last()
        .map_or(0.0, |step| step.rate);
    for step in steps {
        let count = step.latencies_ms.len();
        let name = format!("{MEASURE}/p99/{}-per-s", step.rate);
        let figure = Figure::new(name, "ms", step.p99_ms(), count).with_floor(base);
        bench.figure(figure.with_spread(bootstrap(&step.latencies_ms, 0.99)));
    }
    let failures: usize = steps
        .iter()
        .filter(|step| step.rate <= 150.0)
        .map(|step| step.failures)
        .sum();
    let count = steps.iter().map(|step| step.latencies_ms.len()).sum();
    let figure = Figure::new(
        format!("{MEASURE}/failures/up-to-150-per-s"),
        "requests",
        failures as f64,
        count,
    );
    bench.figure(figure.with_aim(Aim::AtMost(0.0)));
    let figure = Figure::new(format!("{MEASURE}/sustained"), "per s", best, steps.len());
    bench.figure(figure.with_floor(floor).with_aim(Aim::AtLeast(150.0)));
}
