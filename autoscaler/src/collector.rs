//! The load of one function in stable and panic windows, as Knative's metric collector keeps it.

use std::ops::AddAssign;
use std::time::Duration;

use zeron_core::policy::{Aggregation, KnativeMetric};
use zeron_core::{Sample, Timestamp};

use crate::window::Window;

/// What was counted of one function over one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadSample {
    /// Time-weighted mean of requests in flight and waiting.
    pub concurrency: f64,
    /// The part of `concurrency` that another reporter counts too.
    pub proxied_concurrency: f64,
    /// Requests that arrived.
    pub requests: f64,
    /// The part of `requests` that another reporter counts too.
    pub proxied_requests: f64,
}

impl AddAssign<&LoadSample> for LoadSample {
    fn add_assign(&mut self, other: &LoadSample) {
        self.concurrency += other.concurrency;
        self.proxied_concurrency += other.proxied_concurrency;
        self.requests += other.requests;
        self.proxied_requests += other.proxied_requests;
    }
}

impl From<&Sample> for LoadSample {
    fn from(sample: &Sample) -> Self {
        Self {
            concurrency: sample.average_concurrency,
            proxied_concurrency: sample.average_proxied_concurrency,
            requests: sample.request_count,
            proxied_requests: sample.proxied_request_count,
        }
    }
}

impl LoadSample {
    /// In flight, without what another reporter counts.
    fn own_concurrency(&self) -> f64 {
        self.concurrency - self.proxied_concurrency
    }

    /// Arrived, without what another reporter counts.
    fn own_requests(&self) -> f64 {
        self.requests - self.proxied_requests
    }

    /// Whether there was any request in that second.
    pub fn has_requests(&self) -> bool {
        self.requests > 0.0 || self.concurrency > 0.0
    }
}

/// A stable and a panic average of the same measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Averages {
    /// Over the stable window.
    pub stable: f64,
    /// Over the panic window.
    pub panic: f64,
}

/// Stable and panic window of one measure.
#[derive(Clone, Debug)]
struct Pair {
    stable: Window,
    panic: Window,
}

impl Pair {
    fn new(aggregation: Aggregation, stable: Duration, panic: Duration) -> Self {
        Self {
            stable: Window::new(aggregation, stable),
            panic: Window::new(aggregation, panic),
        }
    }

    fn record(&mut self, at: Timestamp, value: f64) {
        self.stable.record(at, value);
        self.panic.record(at, value);
    }

    fn averages(&self, now: Timestamp, more: f64) -> Averages {
        Averages {
            stable: self.stable.average_with(now, more),
            panic: self.panic.average_with(now, more),
        }
    }
}

/// Windows of concurrency and of requests per second.
#[derive(Clone, Debug)]
pub struct Collector {
    concurrency: Pair,
    rps: Pair,
}

impl Collector {
    /// Windows of these lengths; the way to average stays for the collector's life.
    pub fn new(aggregation: Aggregation, stable: Duration, panic: Duration) -> Self {
        Self {
            concurrency: Pair::new(aggregation, stable, panic),
            rps: Pair::new(aggregation, stable, panic),
        }
    }

    /// Adds one report to the second of `at`; reports of one second add up.
    pub fn record(&mut self, at: Timestamp, sample: &LoadSample) {
        self.concurrency.record(at, sample.own_concurrency());
        self.rps.record(at, sample.own_requests());
    }

    /// The averages of `metric` at `now`; `None` when nothing was recorded within the stable window.
    pub fn averages(&self, metric: KnativeMetric, now: Timestamp) -> Option<Averages> {
        self.averages_with(metric, now, &LoadSample::default())
    }

    /// The same as if `more` had been recorded too in the second of `now`, if anything was.
    pub(crate) fn averages_with(
        &self,
        metric: KnativeMetric,
        now: Timestamp,
        more: &LoadSample,
    ) -> Option<Averages> {
        let (pair, more) = match metric {
            KnativeMetric::Concurrency => (&self.concurrency, more.own_concurrency()),
            KnativeMetric::Rps => (&self.rps, more.own_requests()),
        };
        (!pair.stable.is_empty(now)).then(|| pair.averages(now, more))
    }

    /// Whether nothing was recorded within the stable window.
    pub fn is_empty(&self, now: Timestamp) -> bool {
        self.concurrency.stable.is_empty(now)
    }

    /// Changes the windows' lengths, keeping what was recorded.
    pub fn resize(&mut self, stable: Duration, panic: Duration, now: Timestamp) {
        for pair in [&mut self.concurrency, &mut self.rps] {
            pair.stable.resize(stable, now);
            pair.panic.resize(panic, now);
        }
    }

    /// Gives memory back where nothing of the past can matter.
    pub fn shrink(&mut self, now: Timestamp) {
        for pair in [&mut self.concurrency, &mut self.rps] {
            pair.stable.shrink(now);
            pair.panic.shrink(now);
        }
    }
}
