//! Knative Serving's own answers, recorded: windows, decider, and both on one clock.
//!
//! Reads the folder that `ZERON_VECTORS` names, by default `tests/vectors` of this crate.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeron_autoscaler::collector::{Averages, Collector, LoadSample};
use zeron_autoscaler::kpa::{Decider, DeciderSpec, GRID, Status};
use zeron_autoscaler::window::Window;
use zeron_core::Timestamp;
use zeron_core::policy::{Aggregation, KnativeMetric};

fn read<T: DeserializeOwned>(name: &str) -> T {
    let folder = std::env::var_os("ZERON_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"),
        PathBuf::from,
    );
    let path = folder.join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[derive(Clone, Copy)]
struct Base(u64);

impl Base {
    fn at(self, t_ms: u64) -> Timestamp {
        Timestamp::from_secs(self.0) + Duration::from_millis(t_ms)
    }
}

fn aggregation(name: &str) -> Aggregation {
    match name {
        "weighted-exponential" | "weightedExponential" => Aggregation::WeightedExponential,
        _ => Aggregation::Linear,
    }
}

fn assert_average(got: f64, want: f64, aggregation: Aggregation, about: &str) {
    match aggregation {
        Aggregation::Linear => assert_eq!(got, want, "{about}"),
        Aggregation::WeightedExponential => {
            let tolerance = 1e-12 * want.abs();
            assert!((got - want).abs() <= tolerance, "{about}: {got} != {want}");
        }
    }
}

// === windows ===

#[derive(Deserialize)]
struct WindowsFile {
    base_unix_s: u64,
    windows: Vec<WindowCase>,
    collector: Vec<CollectorCase>,
}

#[derive(Deserialize)]
struct WindowCase {
    name: String,
    algorithm: String,
    window_ms: u64,
    granularity_ms: u64,
    ops: Vec<WindowOp>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum WindowOp {
    Record { t_ms: u64, value: f64 },
    Query { t_ms: u64, want: WindowWant },
    Resize { t_ms: u64, window_ms: u64 },
}

#[derive(Deserialize)]
struct WindowWant {
    average: f64,
    empty: bool,
}

#[test]
fn windows_average_as_recorded() {
    let file: WindowsFile = read("kpa-windows.json");
    let base = Base(file.base_unix_s);
    assert!(!file.windows.is_empty());
    for case in file.windows {
        assert_eq!(case.granularity_ms, 1000, "{}", case.name);
        let by = aggregation(&case.algorithm);
        let mut window = Window::new(by, Duration::from_millis(case.window_ms));
        for op in case.ops {
            match op {
                WindowOp::Record { t_ms, value } => window.record(base.at(t_ms), value),
                WindowOp::Resize { t_ms, window_ms } => {
                    window.resize(Duration::from_millis(window_ms), base.at(t_ms));
                }
                WindowOp::Query { t_ms, want } => {
                    let about = format!("{} at {t_ms}", case.name);
                    assert_average(window.average(base.at(t_ms)), want.average, by, &about);
                    assert_eq!(window.is_empty(base.at(t_ms)), want.empty, "{about}");
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct CollectorCase {
    name: String,
    algorithm: String,
    ops: Vec<CollectorOp>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum CollectorOp {
    Set {
        t_ms: u64,
        stable_window_ms: u64,
        panic_window_ms: u64,
        scrape_target: String,
    },
    Delete {},
    Stat {
        t_ms: u64,
        stat: RecordedStat,
    },
    Query {
        t_ms: u64,
        want: CollectorWant,
    },
}

#[derive(Clone, Copy, Deserialize)]
struct RecordedStat {
    concurrency: f64,
    proxied_concurrency: f64,
    requests: f64,
    proxied_requests: f64,
}

impl RecordedStat {
    fn sample(self) -> LoadSample {
        LoadSample {
            concurrency: self.concurrency,
            proxied_concurrency: self.proxied_concurrency,
            requests: self.requests,
            proxied_requests: self.proxied_requests,
        }
    }
}

#[derive(Deserialize)]
struct CollectorWant {
    concurrency: MeasureWant,
    rps: MeasureWant,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum MeasureWant {
    Value { stable: f64, panic: f64 },
    Error { error: String },
}

/// A collector as the original's users see it: it exists or not, and is scraped for or not.
struct Collection {
    collector: Collector,
    is_scraped: bool,
}

fn measure(
    collection: Option<&Collection>,
    metric: KnativeMetric,
    now: Timestamp,
) -> Result<Averages, &'static str> {
    let collection = collection.ok_or("not_collecting")?;
    match collection.collector.averages(metric, now) {
        Some(averages) => Ok(averages),
        None if collection.is_scraped => Err("no_data"),
        None => Ok(Averages {
            stable: 0.0,
            panic: 0.0,
        }),
    }
}

fn assert_measure(
    got: Result<Averages, &'static str>,
    want: &MeasureWant,
    by: Aggregation,
    about: &str,
) {
    match (got, want) {
        (Ok(got), MeasureWant::Value { stable, panic }) => {
            assert_average(got.stable, *stable, by, about);
            assert_average(got.panic, *panic, by, about);
        }
        (Err(got), MeasureWant::Error { error }) => assert_eq!(got, error, "{about}"),
        (got, want) => panic!("{about}: {got:?} instead of {want:?}"),
    }
}

#[test]
fn collector_answers_as_recorded() {
    let file: WindowsFile = read("kpa-windows.json");
    let base = Base(file.base_unix_s);
    assert!(!file.collector.is_empty());
    for case in file.collector {
        let by = aggregation(&case.algorithm);
        let mut collection: Option<Collection> = None;
        for op in case.ops {
            match op {
                CollectorOp::Set {
                    t_ms,
                    stable_window_ms,
                    panic_window_ms,
                    scrape_target,
                } => {
                    let stable = Duration::from_millis(stable_window_ms);
                    let panic = Duration::from_millis(panic_window_ms);
                    let it = collection.get_or_insert_with(|| Collection {
                        collector: Collector::new(by, stable, panic),
                        is_scraped: false,
                    });
                    it.collector.resize(stable, panic, base.at(t_ms));
                    it.is_scraped = !scrape_target.is_empty();
                }
                CollectorOp::Delete {} => collection = None,
                CollectorOp::Stat { t_ms, stat } => {
                    if let Some(it) = &mut collection {
                        it.collector.record(base.at(t_ms), &stat.sample());
                    }
                }
                CollectorOp::Query { t_ms, want } => {
                    let now = base.at(t_ms);
                    let about = format!("{} at {t_ms}", case.name);
                    let it = collection.as_ref();
                    let got = measure(it, KnativeMetric::Concurrency, now);
                    assert_measure(got, &want.concurrency, by, &about);
                    let got = measure(it, KnativeMetric::Rps, now);
                    assert_measure(got, &want.rps, by, &about);
                }
            }
        }
    }
}

// === decider ===

#[derive(Clone, Deserialize)]
struct RecordedSpec {
    metric: String,
    total: f64,
    target: f64,
    target_burst_capacity: f64,
    panic_threshold: f64,
    stable_window_ms: u64,
    scale_down_delay_ms: u64,
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    initial_scale: u32,
    activation_scale: u32,
    reachable: bool,
}

impl RecordedSpec {
    fn spec(&self) -> DeciderSpec {
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

    fn decider(&self, ready: u32, now: Timestamp) -> Decider {
        let delay = Duration::from_millis(self.scale_down_delay_ms);
        Decider::new(&self.spec(), delay, ready, now)
    }

    fn metric(&self) -> KnativeMetric {
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

fn desired(status: Status) -> i64 {
    status.desired.map_or(-1, i64::from)
}

/// Whether the original would queue the PodAutoscaler: another count, or another sign.
fn is_notified(before: Status, after: Status) -> bool {
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

// === loop ===

#[derive(Deserialize)]
struct LoopFile {
    base_unix_s: u64,
    scenarios: Vec<LoopScenario>,
}

#[derive(Deserialize)]
struct LoopScenario {
    name: String,
    spec: RecordedSpec,
    panic_window_ms: u64,
    scrape_target: String,
    start: LoopStart,
    ops: Vec<LoopOp>,
}

#[derive(Deserialize)]
struct LoopStart {
    ready: u32,
    want: LoopWant,
}

#[derive(Deserialize)]
struct LoopWant {
    desired: i64,
    ebc: f64,
    notify: bool,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum LoopOp {
    Stat {
        t_ms: u64,
        stat: RecordedStat,
        want: Option<LoopWant>,
    },
    Scrape {
        t_ms: u64,
        #[serde(default)]
        stat: Option<RecordedStat>,
    },
    Ready {
        t_ms: u64,
        ready: u32,
    },
    Status {
        t_ms: u64,
        want: LoopWant,
    },
}

impl LoopOp {
    fn t_ms(&self) -> u64 {
        match self {
            Self::Stat { t_ms, .. }
            | Self::Scrape { t_ms, .. }
            | Self::Ready { t_ms, .. }
            | Self::Status { t_ms, .. } => *t_ms,
        }
    }
}

const FIRST_DECISION_MS: u64 = 2_500;
const MADE_AT_MS: u64 = 500;

/// Collector and decider on one clock, with scraping at whole seconds.
struct Loop {
    base: Base,
    spec: RecordedSpec,
    collection: Collection,
    decider: Decider,
    scraped: Option<RecordedStat>,
    ready: u32,
    next_scrape_ms: u64,
    next_decision_ms: u64,
    is_notified: bool,
}

impl Loop {
    fn new(base: Base, scenario: &LoopScenario) -> Self {
        let spec = scenario.spec.clone();
        let stable = Duration::from_millis(spec.stable_window_ms);
        let panic = Duration::from_millis(scenario.panic_window_ms);
        Self {
            base,
            collection: Collection {
                collector: Collector::new(Aggregation::Linear, stable, panic),
                is_scraped: !scenario.scrape_target.is_empty(),
            },
            decider: spec.decider(scenario.start.ready, base.at(MADE_AT_MS)),
            spec,
            scraped: None,
            ready: scenario.start.ready,
            next_scrape_ms: 1_000,
            next_decision_ms: FIRST_DECISION_MS,
            is_notified: false,
        }
    }

    /// Scrapes and decides whatever is due up to `t_ms`.
    fn advance(&mut self, t_ms: u64) {
        let grid = u64::try_from(GRID.as_millis()).unwrap();
        while self.next_scrape_ms.min(self.next_decision_ms) <= t_ms {
            if self.next_scrape_ms <= self.next_decision_ms {
                if let Some(stat) = self.scraped.filter(|_| self.collection.is_scraped) {
                    self.record(self.next_scrape_ms, stat);
                }
                self.next_scrape_ms += 1_000;
            } else {
                self.decide(self.next_decision_ms);
                self.next_decision_ms += grid;
            }
        }
    }

    fn record(&mut self, t_ms: u64, stat: RecordedStat) {
        let at = Timestamp::from_secs(self.base.at(t_ms).as_secs());
        self.collection.collector.record(at, &stat.sample());
    }

    fn decide(&mut self, t_ms: u64) {
        let now = self.base.at(t_ms);
        let before = self.decider.status();
        if let Ok(load) = measure(Some(&self.collection), self.spec.metric(), now) {
            self.decider
                .decide(&self.spec.spec(), load, self.ready, now);
        }
        self.is_notified |= is_notified(before, self.decider.status());
    }

    fn assert_status(&mut self, want: &LoopWant, about: &str) {
        let status = self.decider.status();
        assert_eq!(desired(status), want.desired, "{about}");
        assert_eq!(status.excess_burst_capacity, want.ebc, "{about}");
        assert_eq!(self.is_notified, want.notify, "{about}");
        self.is_notified = false;
    }

    fn apply(&mut self, op: LoopOp, about: &str) {
        match op {
            LoopOp::Stat { t_ms, stat, want } => {
                self.record(t_ms, stat);
                let is_poke = self.decider.status().desired == Some(0) && stat.concurrency != 0.0;
                assert_eq!(is_poke, want.is_some(), "{about}");
                if let Some(want) = want {
                    self.decide(t_ms);
                    self.assert_status(&want, about);
                }
            }
            LoopOp::Scrape { stat, .. } => self.scraped = stat,
            LoopOp::Ready { ready, .. } => self.ready = ready,
            LoopOp::Status { want, .. } => self.assert_status(&want, about),
        }
    }
}

#[test]
fn collector_and_decider_agree_on_one_clock() {
    let file: LoopFile = read("kpa-loop.json");
    let base = Base(file.base_unix_s);
    assert!(!file.scenarios.is_empty());
    for scenario in file.scenarios {
        let mut it = Loop::new(base, &scenario);
        it.assert_status(&scenario.start.want, &scenario.name);
        for op in scenario.ops {
            let about = format!("{} at {}", scenario.name, op.t_ms());
            it.advance(op.t_ms());
            it.apply(op, &about);
        }
    }
}
