//! What became of the requests of one load.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::exchange::Reply;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// 200 with the expected body.
    Ok,
    /// 200 with another body.
    Body,
    /// Another status.
    Status(u16),
    /// The connection ended before the answer did.
    Closed,
    /// No connection.
    Connect,
    /// The client left.
    Timeout,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Body => f.write_str("wrong-body"),
            Self::Status(status) => write!(f, "status-{status}"),
            Self::Closed => f.write_str("closed"),
            Self::Connect => f.write_str("no-connection"),
            Self::Timeout => f.write_str("client-timeout"),
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Which target.
    pub(crate) target: usize,
    /// Intended start, from the start of the load.
    pub(crate) intended: Duration,
    /// How late the generator was: its own fault, and part of `latency`.
    pub(crate) late: Duration,
    /// From the intended start to the last byte, or to the failure.
    pub(crate) latency: Duration,
    /// How it ended.
    pub(crate) reply: Reply,
}

/// All requests of one load.
#[derive(Debug)]
pub(crate) struct Report {
    /// Wall-clock start of the load.
    pub(crate) started: SystemTime,
    /// Until the last answer.
    pub(crate) elapsed: Duration,
    /// In the order in which they ended.
    pub(crate) samples: Vec<Sample>,
    /// Of right answers.
    latency: Histogram<u64>,
    late: Histogram<u64>,
}

impl Report {
    /// Requests that ended as `class`.
    pub(crate) fn count(&self, class: Class) -> usize {
        self.samples
            .iter()
            .filter(|sample| sample.reply.class == class)
            .count()
    }

    /// Right answers.
    pub(crate) fn ok(&self) -> usize {
        self.count(Class::Ok)
    }

    /// Failures by class; empty when there were none.
    pub(crate) fn failures(&self) -> BTreeMap<Class, usize> {
        let mut failures = BTreeMap::new();
        for sample in &self.samples {
            if sample.reply.class != Class::Ok {
                *failures.entry(sample.reply.class).or_default() += 1;
            }
        }
        failures
    }

    /// Latency of right answers at a quantile, in microseconds; not a number without any.
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        value(&self.latency, quantile)
    }

    /// How late the generator was at a quantile, in microseconds.
    pub(crate) fn late_us(&self, quantile: f64) -> f64 {
        value(&self.late, quantile)
    }

    /// Right answers per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.ok() as f64 / self.elapsed.as_secs_f64()
    }
}

fn value(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    if histogram.is_empty() {
        return f64::NAN;
    }
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

/// Takes samples from the requests' tasks, and knows when all are in.
#[derive(Debug)]
pub(super) struct Collector {
    samples: Mutex<Vec<Sample>>,
    outstanding: AtomicUsize,
    all_in: Notify,
}

impl Collector {
    /// Expects `tasks` calls of [`Collector::push`] or [`Collector::done`].
    pub(super) fn new(tasks: usize) -> Self {
        Self {
            samples: Mutex::new(Vec::with_capacity(tasks)),
            outstanding: AtomicUsize::new(tasks),
            all_in: Notify::new(),
        }
    }

    pub(super) fn record(&self, sample: Sample) {
        self.samples.lock().push(sample);
    }

    pub(super) fn done(&self) {
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all_in.notify_one();
        }
    }

    pub(super) fn push(&self, sample: Sample) {
        self.record(sample);
        self.done();
    }

    pub(super) async fn finished(&self) {
        while self.outstanding.load(Ordering::Acquire) > 0 {
            self.all_in.notified().await;
        }
    }

    pub(super) fn report(&self, started: SystemTime, elapsed: Duration) -> Report {
        let samples = std::mem::take(&mut *self.samples.lock());
        let (mut latency, mut late) = (histogram(), histogram());
        for sample in &samples {
            late.saturating_record(nanos(sample.late));
            if sample.reply.class == Class::Ok {
                latency.saturating_record(nanos(sample.latency));
            }
        }
        Report {
            started,
            elapsed,
            samples,
            latency,
            late,
        }
    }
}

/// 1 us to 10 min at three digits, in nanoseconds.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 600_000_000_000, 3).expect("bounds are valid constants")
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
