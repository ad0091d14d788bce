//! Simulations against closed forms.
#![allow(clippy::unwrap_used)]

use zeron_core::policy::{HttpScaling, KnativeScaling, MetricScaling, Scaling};

use super::*;
use crate::testkit::{group, http, knative, metric};

fn policy(scaling: Scaling) -> ScalePolicy {
    ScalePolicy {
        groups: vec![group(scaling, None)],
        ..ScalePolicy::default()
    }
}

fn instant_start() -> SimulationConfig {
    SimulationConfig {
        start_latency: Duration::ZERO,
        ..SimulationConfig::default()
    }
}

fn assert_close(got: f64, want: f64, tolerance: f64, about: &str) {
    assert!(
        (got - want).abs() <= tolerance,
        "{about}: {got}, expected {want} +- {tolerance}"
    );
}

#[test]
fn a_constant_load_holds_its_quotient() {
    let load = Load::parse_synthetic("constant:level=45,for=1000s").unwrap();
    let scaling = HttpScaling {
        cooldown: Duration::from_secs(100),
        ..http(10.0)
    };
    let report = simulate(&load, &policy(Scaling::Http(scaling)), &instant_start());
    assert_eq!(report.max_replicas, 5);
    assert_eq!(report.cold_starts, 1);
    assert_close(
        report.replica_seconds,
        5.0 * 1_100.0,
        10.0,
        "replica-seconds",
    );
    assert_close(
        report.request_seconds,
        45.0 * 1_000.0,
        1e-6,
        "request-seconds",
    );
    assert_eq!(report.points.last().unwrap().desired, 0);
}

#[test]
fn the_kpa_settles_at_load_over_target() {
    let load = Load::parse_synthetic("constant:level=210,for=600s").unwrap();
    let scaling = KnativeScaling {
        initial_scale: 0,
        ..knative()
    };
    let report = simulate(&load, &policy(Scaling::Knative(scaling)), &instant_start());
    let at = |second: f64| {
        let before = report.points.iter().rev().find(|point| point.t_s <= second);
        before.unwrap().desired
    };
    assert_eq!(at(590.0), 3);
    assert_eq!(at(1_200.0), 0);
}

/// Poisson arrivals, no service time, kept alive for K after each: a request is cold when the gap
/// before it is longer than K, with probability exp(-rate K), and the replica is up for
/// 1 - exp(-rate K) of the time.
#[test]
fn poisson_with_keep_alive_matches_the_closed_form() {
    let (rate, keep_alive) = (1.0 / 300.0, 300.0);
    let spec = format!("poisson:rate={rate},service=0ms,seed=7,for=2000h");
    let load = Load::parse_synthetic(&spec).unwrap();
    let scaling = HttpScaling {
        cooldown: Duration::from_secs_f64(keep_alive),
        ..http(10.0)
    };
    let report = simulate(&load, &policy(Scaling::Http(scaling)), &instant_start());
    let cold = f64::exp(-rate * keep_alive);
    let share = report.cold_starts as f64 / report.requests as f64;
    assert_close(share, cold, 0.015, "cold share");
    let up = 1.0 - report.zero_seconds / report.duration_s;
    assert_close(up, 1.0 - cold, 0.015, "share of time up");
    assert_eq!(report.unfinished, 0);
}

/// Little's law: with unlimited replicas the mean in flight is rate times service time.
#[test]
fn requests_in_flight_obey_littles_law() {
    let spec = "poisson:rate=20,service=500ms,exponential=true,seed=3,for=2000s";
    let load = Load::parse_synthetic(spec).unwrap();
    let config = SimulationConfig {
        initial_replicas: 1,
        tail: Duration::from_secs(10),
        ..instant_start()
    };
    let report = simulate(&load, &policy(Scaling::Http(http(1_000.0))), &config);
    let mean = report.request_seconds / 2_000.0;
    assert_close(mean, 10.0, 0.4, "mean in flight");
    assert_eq!(report.waits.max_s, 0.0);
}

#[test]
fn a_cold_request_waits_for_the_start_and_no_longer() {
    let load = Load::parse_csv("arrival_s,duration_s\n10,0.1\n10.02,0.1\n500,0.1\n").unwrap();
    let config = SimulationConfig {
        start_latency: Duration::from_millis(50),
        ..SimulationConfig::default()
    };
    let scaling = HttpScaling {
        cooldown: Duration::from_secs(60),
        ..http(100.0)
    };
    let report = simulate(&load, &policy(Scaling::Http(scaling)), &config);
    assert_eq!(
        (report.requests, report.cold_starts, report.replica_starts),
        (3, 3, 2)
    );
    assert_close(report.waits.max_s, 0.05, 1e-9, "longest wait");
    assert_close(report.waits.p50_s, 0.05, 1e-9, "median wait");
}

#[test]
fn a_hard_limit_is_never_exceeded_and_everybody_is_served() {
    let mut log = "arrival_s,duration_s\n".to_owned();
    for number in 0..500 {
        log.push_str(&format!("{},0.005\n", 1.0 + f64::from(number) * 1e-6));
    }
    let load = Load::parse_csv(&log).unwrap();
    let config = SimulationConfig {
        concurrency_limit: NonZeroU32::new(1),
        ..SimulationConfig::default()
    };
    let scaling = KnativeScaling {
        initial_scale: 0,
        total: 1.0,
        target: 0.7,
        ..knative()
    };
    let policy = ScalePolicy {
        groups: vec![group(Scaling::Knative(scaling), Some(10))],
        ..ScalePolicy::default()
    };
    let report = simulate(&load, &policy, &config);
    assert_eq!(report.max_replicas, 10);
    assert_eq!(report.unfinished, 0);
    // 500 requests of 5 ms over ten replicas, after a start of 10 ms.
    assert!(report.waits.max_s < 0.4, "{:?}", report.waits);
}

#[test]
fn a_backlog_of_messages_drives_a_metric_group() {
    let load = Load::parse_csv(
        "t_seconds,in_flight\n0,0,kafka-t0=0\n60,0,kafka-t0=95\n300,0,kafka-t0=0\n",
    );
    let scaling = MetricScaling {
        polling_interval: Duration::from_secs(1),
        cooldown: Duration::from_secs(30),
        ..metric(1)
    };
    let config = SimulationConfig {
        tail: Duration::from_secs(100),
        ..instant_start()
    };
    let report = simulate(&load.unwrap(), &policy(Scaling::Metric(scaling)), &config);
    let steps: Vec<_> = report
        .changes
        .iter()
        .map(|it| (it.t_s.round(), it.to))
        .collect();
    assert_eq!(steps, [(60.0, 10), (329.0, 0)]);
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let run = || {
        let load = Load::parse_synthetic("poisson:rate=3,seed=42,for=300s").unwrap();
        simulate(
            &load,
            &policy(Scaling::Knative(knative())),
            &SimulationConfig::default(),
        )
    };
    assert_eq!(run(), run());
    let other = Load::parse_synthetic("poisson:rate=3,seed=43,for=300s").unwrap();
    let other = simulate(
        &other,
        &policy(Scaling::Knative(knative())),
        &Default::default(),
    );
    assert_ne!(run(), other);
}

#[test]
fn reports_round_trip_as_json() {
    let load = Load::parse_synthetic("sine:mean=5,amplitude=5,period=60s,for=120s").unwrap();
    let report = simulate(
        &load,
        &policy(Scaling::Http(http(1.0))),
        &Default::default(),
    );
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(
        serde_json::from_str::<SimulationReport>(&text).unwrap(),
        report
    );
}

#[test]
fn wrong_loads_say_what_is_wrong() {
    let message = |result: Result<Load, LoadError>| result.unwrap_err().to_string();
    assert!(message(Load::parse_csv("a,b\n1,2")).contains("arrival_s"));
    assert!(message(Load::parse_csv("arrival_s,duration_s\n1,x")).contains("line 2"));
    assert!(message(Load::parse_csv("t_seconds,in_flight\n5,1\n4,1")).contains("backwards"));
    assert!(message(Load::parse_synthetic("square:")).contains("square"));
    assert!(message(Load::parse_synthetic("sine:men=3")).contains("men=3"));
    assert!(message(Load::parse_synthetic("poisson:rate=1e9,for=1h")).contains("more than"));
}
