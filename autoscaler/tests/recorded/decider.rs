//! The decider.

use std::time::Duration;

use serde::Deserialize;
use zeron_autoscaler::collector::Averages;
use zeron_autoscaler::kpa::{Decider, DeciderSpec, Status};
use zeron_core::Timestamp;
use zeron_core::policy::KnativeMetric;

use super::{Base, read};

#[derive(Clone, Deserialize)]
pub(super) struct RecordedSpec {
    metric: String,
    total: f64,
    target: f64,
    target_burst_capacity: f64,
    panic_threshold: f64,
    pub(super) stable_window_ms: u64,
    scale_down_delay_ms: u64,
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    initial_scale: u32,
    activation_scale: u32,
    reachable: bool,
}

impl RecordedSpec {
    pub(super) fn spec(&self) -> DeciderSpec {
        DeciderSpec {
            total: self.total,
            target: self.target,
            target_burst_capacity: self.target_burst_capacity,
            panic_threshold: self.panic_threshold,
            stable_window: Duration::from_millis(self.stable_window_ms),
            max_scale_up_rate: self.max_scale_up_rate,
            max_scale_down_rate: self.max_scale_down_rate,
            initial_scale: self.initial_scale,
            activation_scale: self.activation_scale,
            is_reachable: self.reachable,
        }
    }

    pub(super) fn decider(&self, ready: u32, now: Timestamp) -> Decider {
        let delay = Duration::from_millis(self.scale_down_delay_ms);
        Decider::new(&self.spec(), delay, ready, now)
    }

    pub(super) fn metric(&self) -> KnativeMetric {
        if self.metric == "rps" {
            KnativeMetric::Rps
        } else {
            KnativeMetric::Concurrency
        }
    }
}

#[derive(Deserialize)]
struct DecideFile {
    base_unix_s: u64,
    scenarios: Vec<DecideScenario>,
}

#[derive(Deserialize)]
struct DecideScenario {
    name: String,
    spec: RecordedSpec,
    start: DecideStart,
    ticks: Vec<Tick>,
}

#[derive(Deserialize)]
struct DecideStart {
    ready: Option<u32>,
    want: StartWant,
}

#[derive(Deserialize)]
struct StartWant {
    desired: i64,
    ebc: f64,
    panic_since_ms: Option<u64>,
    max_panic_pods: u32,
}

#[derive(Deserialize)]
struct Tick {
    t_ms: u64,
    spec: Option<RecordedSpec>,
    stable: Option<f64>,
    panic: Option<f64>,
    ready: Option<u32>,
    ready_error: Option<String>,
    want: TickWant,
}

#[derive(Deserialize)]
struct TickWant {
    valid: bool,
    desired: Option<i64>,
    ebc: Option<f64>,
    panic_since_ms: Option<u64>,
    max_panic_pods: u32,
    notify: bool,
}

impl Tick {
    fn ready(&self) -> Option<u32> {
        match self.ready_error.as_deref() {
            None => self.ready,
            Some("not_found") => Some(0),
            Some(_) => None,
        }
    }

    fn load(&self) -> Option<Averages> {
        Some(Averages {
            stable: self.stable?,
            panic: self.panic?,
        })
    }
}

pub(super) fn desired(status: Status) -> i64 {
    status.desired.map_or(-1, i64::from)
}

/// Whether the original would queue the PodAutoscaler: another count, or another sign.
pub(super) fn is_notified(before: Status, after: Status) -> bool {
    let is_negative = |status: Status| status.excess_burst_capacity < 0.0;
    desired(before) != desired(after) || is_negative(before) != is_negative(after)
}

#[test]
fn decider_decides_as_recorded() {
    let file: DecideFile = read("kpa-decide.json");
    let base = Base(file.base_unix_s);
    let since = |ms: Option<u64>| ms.map(|ms| base.at(ms));
    let mut decisions = 0;
    for scenario in file.scenarios {
        let name = &scenario.name;
        let mut spec = scenario.spec;
        let start = &scenario.start;
        let mut decider = spec.decider(start.ready.unwrap_or(0), base.at(0));
        assert_eq!(desired(decider.status()), start.want.desired, "{name}");
        assert_eq!(
            decider.status().excess_burst_capacity,
            start.want.ebc,
            "{name}"
        );
        assert_eq!(
            decider.panic_since(),
            since(start.want.panic_since_ms),
            "{name}"
        );
        assert_eq!(
            decider.max_panic_pods(),
            start.want.max_panic_pods,
            "{name}"
        );
        for tick in scenario.ticks {
            let about = format!("{name} at {}", tick.t_ms);
            let before = decider.status();
            let (ready, load) = (tick.ready(), tick.load());
            let mut is_valid = false;
            spec = tick.spec.unwrap_or(spec);
            if let (Some(ready), Some(load)) = (ready, load) {
                decider.decide(&spec.spec(), load, ready, base.at(tick.t_ms));
                is_valid = true;
            }
            let want = tick.want;
            let status = decider.status();
            assert_eq!(is_valid, want.valid, "{about}");
            if is_valid {
                assert_eq!(Some(desired(status)), want.desired, "{about}");
                assert_eq!(Some(status.excess_burst_capacity), want.ebc, "{about}");
            }
            assert_eq!(decider.panic_since(), since(want.panic_since_ms), "{about}");
            assert_eq!(decider.max_panic_pods(), want.max_panic_pods, "{about}");
            assert_eq!(is_notified(before, status), want.notify, "{about}");
            decisions += 1;
        }
    }
    assert!(decisions > 2_000, "only {decisions} decisions");
}
