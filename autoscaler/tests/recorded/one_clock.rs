//! Collector and decider on one clock.

use std::time::Duration;

use serde::Deserialize;
use zeron_autoscaler::collector::Collector;
use zeron_autoscaler::kpa::{Decider, GRID};
use zeron_core::Timestamp;
use zeron_core::policy::Aggregation;

use super::decider::{RecordedSpec, desired, is_notified};
use super::windows::{Collection, RecordedStat, measure};
use super::{Base, read};

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
