//! What the load shapes of Knative's own performance tests have in common: how long and how fast, which way requests go, and
//! what is told of both sides.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::MEASURE;
use super::installation::{Installation, Side};
use super::revisions::{Revision, SETTLE};
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::loadgen::{Load, Report, Target};
use crate::measures::cluster::namespace::{Kind, Namespace, is_ready};
use crate::measures::{describe_failures, rest};
use crate::stats::{bootstrap, median};

/// What each request takes the function.
pub(super) const WORK: &str = "/work?ms=100";
/// Until a client leaves.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until a Service leads where it shall.
const LED_WITHIN: Duration = Duration::from_secs(120);

/// How long and how fast, where that is asked for.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Pace {
    /// Length of each load of `dataplane-probe` and `rollout-probe`, and of each of the three steps of `load-test`.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// Requests a second of these; for `load-test` those of its first step.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

impl Pace {
    /// How long a load lasts.
    pub(super) fn lasts(self, bench: &Bench, full: u32) -> Duration {
        Duration::from_secs(u64::from(self.seconds.unwrap_or(bench.size(full, 4))))
    }

    /// Requests a second.
    pub(super) fn rate(self, bench: &Bench, full: u32) -> f64 {
        f64::from(self.rate.unwrap_or(bench.size(full, 50)))
    }
}

/// Requests of 100 ms, with connections for as many as wait.
pub(super) fn load(namespace: &Namespace, revision: &Revision, connections: usize) -> Result<Load> {
    let target = namespace.target(&revision.name, WORK.to_owned())?;
    Ok(load_of(revision.service, target, connections))
}

/// The same of any target.
pub(super) fn load_of(address: std::net::SocketAddr, target: Target, connections: usize) -> Load {
    Load {
        address,
        targets: vec![target],
        connections,
        preconnect: false,
        timeout: PATIENCE,
    }
}

/// Where a revision's public Service leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Activators,
    Pods,
}

impl Installation {
    /// Waits until a revision's public Service leads to the pods or activators that there are, and nodes know.
    pub(super) fn wait_for_path(
        &self,
        namespace: &Namespace,
        revision: &str,
        path: Path,
    ) -> Result<()> {
        let api = &self.cluster.api;
        let pods = match path {
            Path::Activators => self.activators_path(),
            Path::Pods => format!(
                "{}?labelSelector=app%3D{revision}",
                namespace.path(Kind::Pod)
            ),
        };
        let endpoints = format!("{}/{revision}", namespace.path(Kind::Endpoints));
        let what = format!("{revision} leads to {path:?}");
        let deadline = std::time::Instant::now() + LED_WITHIN;
        loop {
            let (pods, led) = (
                api.block_on(api.get(&pods))?,
                api.block_on(api.get(&endpoints))?,
            );
            let wanted = ready_addresses(&pods);
            if !wanted.is_empty() && wanted == endpoint_addresses(&led) {
                break;
            }
            anyhow::ensure!(
                std::time::Instant::now() < deadline,
                "{what}: not within {LED_WITHIN:?}"
            );
            rest(Duration::from_millis(200));
        }
        rest(SETTLE);
        Ok(())
    }
}

/// Of pods that are ready and stay, sorted.
fn ready_addresses(pods: &Value) -> Vec<String> {
    let pods = pods["items"].as_array().into_iter().flatten();
    let staying =
        pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && is_ready(pod));
    sorted(staying.filter_map(|pod| pod["status"]["podIP"].as_str()))
}

fn endpoint_addresses(endpoints: &Value) -> Vec<String> {
    let subsets = endpoints["subsets"].as_array().into_iter().flatten();
    let addresses = subsets.flat_map(|it| it["addresses"].as_array().into_iter().flatten());
    sorted(addresses.filter_map(|it| it["ip"].as_str()))
}

fn sorted<'v>(addresses: impl Iterator<Item = &'v str>) -> Vec<String> {
    let mut addresses: Vec<String> = addresses.map(str::to_owned).collect();
    addresses.sort();
    addresses
}

/// What one load gave, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
    failures: usize,
}

/// One number of it.
type Number = fn(&Outcome) -> f64;

/// What Knative asks of itself, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aims {
    pub(super) p95: f64,
    pub(super) max: Option<f64>,
}

/// What the rounds of both sides gave, way by way.
#[derive(Debug)]
pub(super) struct Outcomes {
    scenario: &'static str,
    csv: Csv,
    ways: Vec<(&'static str, [Vec<Outcome>; 2])>,
}

impl Outcomes {
    pub(super) fn begin(scenario: &'static str) -> Result<Self> {
        let header = "way,round,side,p50_ms,p95_ms,p99_ms,max_ms,requests,failures";
        Ok(Self {
            scenario,
            csv: Csv::create(MEASURE, scenario, header)?,
            ways: Vec::new(),
        })
    }

    /// Adds a load.
    pub(super) fn add(
        &mut self,
        way: &'static str,
        round: usize,
        side: Side,
        report: &Report,
    ) -> Result<()> {
        let at = |quantile| report.latency_us(quantile) / 1e3;
        let failures = report.samples.len() - report.ok();
        let outcome = Outcome {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: at(1.0),
            failures,
        };
        let Outcome {
            p50, p95, p99, max, ..
        } = &outcome;
        let (side_name, requests) = (side.name(), report.samples.len());
        self.csv.row(&[
            &way, &round, &side_name, p50, p95, p99, max, &requests, &failures,
        ])?;
        note(format_args!(
            "{way}, {side_name}, round {round}: p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.0} ms; {}; the generator was late by {:.1} ms (p99)",
            describe_failures(report),
            report.late_us(0.99) / 1e3
        ));
        let index = self.ways.iter().position(|(name, _)| *name == way);
        let index = index.unwrap_or_else(|| {
            self.ways.push((way, [Vec::new(), Vec::new()]));
            self.ways.len() - 1
        });
        self.ways[index].1[side as usize].push(outcome);
        Ok(())
    }

    /// Adds the figures of all ways: medians over the rounds.
    pub(super) fn figures(self, bench: &mut Bench, aims: Aims) -> Result<()> {
        self.csv.close()?;
        let numbers: [(&str, Number, Option<f64>); 4] = [
            ("p50", |it| it.p50, None),
            ("p95", |it| it.p95, Some(aims.p95)),
            ("p99", |it| it.p99, None),
            ("max", |it| it.max, aims.max),
        ];
        for (way, outcomes) in &self.ways {
            let at = format!("{MEASURE}/{}/{way}", self.scenario);
            for (name, of, most) in numbers {
                let sides = outcomes
                    .each_ref()
                    .map(|side| side.iter().map(of).collect());
                let aim = most.map(Aim::AtMost);
                bench.figure(compare(format!("{at}/{name}"), "ms", &sides, aim));
            }
            let failures = outcomes.each_ref().map(|side| -> f64 {
                let all: usize = side.iter().map(|it| it.failures).sum();
                all as f64
            });
            bench.figure(failed(
                format!("{at}/failures"),
                failures,
                outcomes[0].len(),
            ));
        }
        Ok(())
    }
}

/// Medians of Knative's rounds (the floor) and of ours.
pub(super) fn compare(
    name: String,
    unit: &'static str,
    [knative, zeron]: &[Vec<f64>; 2],
    aim: Option<Aim>,
) -> Figure {
    let figure = Figure::new(name, unit, median(zeron), zeron.len())
        .with_floor(median(knative))
        .with_spread(bootstrap(zeron, 0.5));
    match aim {
        Some(aim) => figure.with_aim(aim),
        None => figure,
    }
}

/// Requests that failed, of which there shall be none; Knative's are said.
pub(super) fn failed(name: String, [knative, zeron]: [f64; 2], rounds: usize) -> Figure {
    if knative > 0.0 {
        note(format_args!(
            "{name}: Knative's own failed {knative} requests"
        ));
    }
    Figure::new(name, "requests", zeron, rounds).with_aim(Aim::AtMost(0.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_leads_to_pods_that_are_ready_and_stay() {
        let pod = |ip: &str, ready: &str, deleted: Value| {
            json!({
                "metadata": {"deletionTimestamp": deleted},
                "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let pods = json!({"items": [
            pod("10.0.0.2", "True", Value::Null),
            pod("10.0.0.1", "True", Value::Null),
            pod("10.0.0.3", "False", Value::Null),
            pod("10.0.0.4", "True", json!("2026-11-21T15:00:52Z")),
        ]});
        assert_eq!(ready_addresses(&pods), ["10.0.0.1", "10.0.0.2"]);
        let led = json!({"subsets": [{"addresses": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}]}]});
        assert_eq!(endpoint_addresses(&led), ready_addresses(&pods));
        assert!(endpoint_addresses(&json!({"subsets": null})).is_empty());
    }

    #[test]
    fn an_aim_of_milliseconds_is_judged_by_ours_and_not_by_the_ratio() {
        let sides = [vec![100.0, 101.0, 102.0], vec![120.0, 121.0, 122.0]];
        let figure = compare("m".to_owned(), "ms", &sides, Some(Aim::AtMost(110.0)));
        assert_eq!((figure.met, figure.floor), (Some(false), Some(101.0)));
    }
}
