//! Windows, and collectors of them.

use std::time::Duration;

use serde::Deserialize;
use zeron_autoscaler::collector::{Averages, Collector, LoadSample};
use zeron_autoscaler::window::Window;
use zeron_core::Timestamp;
use zeron_core::policy::{Aggregation, KnativeMetric};

use super::{Base, aggregation, assert_average, read};

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
pub(super) struct RecordedStat {
    pub(super) concurrency: f64,
    proxied_concurrency: f64,
    requests: f64,
    proxied_requests: f64,
}

impl RecordedStat {
    pub(super) fn sample(self) -> LoadSample {
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
pub(super) struct Collection {
    pub(super) collector: Collector,
    pub(super) is_scraped: bool,
}

pub(super) fn measure(
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
