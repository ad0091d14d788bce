//! Burst: many requests at once to one function at zero that takes one request per replica.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use serde_json::Value;

use super::{PATIENCE, SAMPLE_COLUMNS, describe_failures, origin_target, rest, write_samples};
use crate::bench::{Bench, Csv, note, this_program};
use crate::figure::{Aim, Figure};
use crate::loadgen::{self, Load, Report};
use crate::stats::{bootstrap, median};
use crate::subject::events::{Event, Events, What};
use crate::subject::manifest::Service;

const MEASURE: &str = "burst";
const REQUESTS: usize = 500;
const MAX: u32 = 10;
const WORK_MS: u64 = 5;

/// What one burst gave.
struct Round {
    failures: usize,
    /// Milliseconds to the last answer.
    finished: f64,
    /// Milliseconds from the start of the burst to the decision that asked for all replicas.
    asked: f64,
    /// Replicas alive at once, at most.
    replicas: usize,
    /// Requests at one replica at once, at most.
    concurrency: u32,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let rounds = bench.rounds(10, 1);
    let mut events = Events::listen()?;
    let services: Vec<Service> = (0..rounds)
        .map(|number| service(&events, number))
        .collect::<Result<_>>()?;
    let documents: Vec<Value> = services.iter().map(Service::document).collect();
    let zeron = bench.zeron(MEASURE, &documents)?;
    zeron.wait_until_cold(PATIENCE)?;
    let mut csv = Csv::create(MEASURE, "requests", SAMPLE_COLUMNS)?;
    let mut results = Vec::new();
    for (number, service) in services.iter().enumerate() {
        rest(Duration::from_millis(500));
        events.drain();
        let load = Load {
            address: zeron.address,
            targets: vec![origin_target(
                service.host(),
                &format!("/?bytes=64&work_ms={WORK_MS}"),
                64,
            )],
            connections: REQUESTS,
            preconnect: true,
            timeout: PATIENCE,
        };
        let report = bench.block_on(loadgen::open_loop(&load, &loadgen::burst(REQUESTS)))?;
        write_samples(&mut csv, &number.to_string(), &report)?;
        results.push(judge(
            &report,
            &zeron.decisions(&service.name)?,
            &events.drain(),
        ));
        if report.ok() < REQUESTS {
            note(format_args!(
                "round {number}: {}",
                describe_failures(&report)
            ));
        }
    }
    figures(bench, &results);
    csv.close()
}

fn service(events: &Events, number: usize) -> Result<Service> {
    let name = format!("burst-{number}");
    let mut service = Service::new(&*name, vec![this_program()?, "origin".to_owned()])
        .scaling("max-scale", MAX.to_string());
    service.concurrency = 1;
    service.env = events.environment(&name);
    Ok(service)
}

fn judge(report: &Report, decisions: &[Value], events: &[Event]) -> Round {
    let started = report
        .started
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as f64;
    let all = decisions
        .iter()
        .find(|decision| decision["desired"].as_u64() >= Some(u64::from(MAX)));
    let asked = all
        .and_then(|decision| decision["at"].as_f64())
        .map_or(f64::NAN, |at| (at - started) / 1e3);
    Round {
        failures: report.samples.len() - report.ok(),
        finished: report.elapsed.as_secs_f64() * 1e3,
        asked,
        replicas: most_alive(events).max(answering(report)),
        concurrency: report
            .samples
            .iter()
            .map(|sample| sample.reply.peak)
            .max()
            .unwrap_or(0),
    }
}

/// Replicas that answered: none had ended before the last answer, since none is idle for long enough.
fn answering(report: &Report) -> usize {
    let instances: BTreeSet<u32> = report
        .samples
        .iter()
        .map(|sample| sample.reply.instance)
        .filter(|&i| i > 0)
        .collect();
    instances.len()
}

/// Most replicas that had started and were not told to stop.
fn most_alive(events: &[Event]) -> usize {
    let mut ordered: Vec<&Event> = events.iter().collect();
    ordered.sort_by_key(|event| event.at);
    let mut alive = BTreeSet::new();
    let mut most = 0;
    for event in ordered {
        match event.what {
            What::Start => alive.insert(event.pid),
            What::Term => alive.remove(&event.pid),
        };
        most = most.max(alive.len());
    }
    most
}

fn figures(bench: &mut Bench, rounds: &[Round]) {
    let column = |pick: fn(&Round) -> f64| rounds.iter().map(pick).collect::<Vec<f64>>();
    let most = |values: &[f64]| values.iter().copied().fold(f64::NAN, f64::max);
    let figure = |name: &str, unit, value| {
        Figure::new(format!("{MEASURE}/{name}"), unit, value, rounds.len())
    };
    let failures: f64 = column(|r| r.failures as f64).iter().sum();
    bench.figure(figure("not-answered", "requests", failures).with_aim(Aim::AtMost(0.0)));
    let replicas = most(&column(|r| r.replicas as f64));
    bench
        .figure(figure("replicas/max", "replicas", replicas).with_aim(Aim::AtMost(f64::from(MAX))));
    let concurrency = most(&column(|r| f64::from(r.concurrency)));
    bench.figure(
        figure("concurrency-per-replica/max", "requests", concurrency).with_aim(Aim::AtMost(1.0)),
    );
    let asked = column(|r| r.asked);
    let spread = bootstrap(&asked, 0.5);
    bench.figure(
        figure("all-replicas-asked-for/p50", "ms", median(&asked))
            .with_spread(spread)
            .with_aim(Aim::AtMost(50.0)),
    );
    bench.figure(
        figure("all-replicas-asked-for/max", "ms", most_or_unknown(&asked))
            .with_aim(Aim::AtMost(50.0)),
    );
    let finished = column(|r| r.finished);
    let ideal = REQUESTS as f64 * WORK_MS as f64 / f64::from(MAX);
    bench.figure(
        figure("last-answer/p50", "ms", median(&finished))
            .with_floor(ideal)
            .with_spread(bootstrap(&finished, 0.5)),
    );
}

/// The largest value; not a number when any is unknown.
fn most_or_unknown(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    values.iter().copied().fold(f64::NAN, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What, pid: u32, ms: u64) -> Event {
        Event {
            what,
            name: "f".to_owned(),
            pid,
            at: UNIX_EPOCH + Duration::from_millis(ms),
        }
    }

    #[test]
    fn replicas_that_were_told_to_stop_are_not_alive() {
        let events = [
            event(What::Start, 1, 0),
            event(What::Start, 3, 20),
            event(What::Term, 1, 10),
            event(What::Start, 2, 5),
        ];
        assert_eq!(most_alive(&events), 2);
    }

    #[test]
    fn one_unknown_round_makes_the_maximum_unknown() {
        assert!(most_or_unknown(&[1.0, f64::NAN]).is_nan());
        assert_eq!(most_or_unknown(&[1.0, 3.0, 2.0]), 3.0);
    }
}
