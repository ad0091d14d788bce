//! Counters and histograms, in Prometheus' terms.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::cause::Cause;
use crate::config::Dialect;
use crate::knative::Tally;
use crate::worker::Shared;

/// Requests by how they ended; one per worker, so that they never meet.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; Cause::ALL.len()]);

impl Counts {
    pub(crate) fn add(&self, cause: Cause) {
        self.0[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self, cause: Cause) -> u64 {
        self.0[cause as usize].load(Ordering::Relaxed)
    }
}

/// A part of a cold start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Until a replica was there.
    Queue,
    /// Until a connection to it stood.
    Connect,
    /// Until it answered.
    FirstByte,
}

/// What is measured over all workers.
#[derive(Debug)]
pub(crate) struct Metrics {
    cold_start: [Histogram; 3],
    /// Requests sent to other activators, and those that came back as misdirected.
    hops: [AtomicU64; 2],
    /// Requests whose replica broke the connection before it answered, and that were sent again.
    sent_again: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        // 250 us to 131 s.
        let histogram = || Histogram::new(exponential_buckets(0.000_25, 2.0, 20));
        Self {
            cold_start: [histogram(), histogram(), histogram()],
            hops: Default::default(),
            sent_again: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    pub(crate) fn cold_start(&self, phase: Phase, took: Duration) {
        self.cold_start[phase as usize].observe(took.as_secs_f64());
    }

    /// A request was sent to the owner of a replica, who took it or did not.
    pub(crate) fn hopped(&self, is_taken: bool) {
        self.hops[usize::from(is_taken)].fetch_add(1, Ordering::Relaxed);
    }

    /// A replica broke the connection before it answered, and the request goes elsewhere.
    pub(crate) fn sent_again(&self) {
        self.sent_again.fetch_add(1, Ordering::Relaxed);
    }
}

/// Registers everything under `zeron_activator`, and what Knative counts under its names.
pub(crate) fn register(shared: &Arc<Shared>, registry: &mut Registry) {
    if matches!(shared.config.dialect, Dialect::Knative(_)) {
        registry.register_collector(Box::new(Tally(Arc::clone(shared))));
    }
    let registry = registry.sub_registry_with_prefix("zeron_activator");
    for (phase, name) in [
        (Phase::Queue, "queue"),
        (Phase::Connect, "connect"),
        (Phase::FirstByte, "first_byte"),
    ] {
        registry
            .sub_registry_with_label(("phase".into(), name.into()))
            .register(
                "cold_start_seconds",
                "Time that requests spent in this phase after they had to wait for a replica",
                shared.metrics.cold_start[phase as usize].clone(),
            );
    }
    registry.register_collector(Box::new(Gauges(Arc::clone(shared))));
}

struct Gauges(Arc<Shared>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Gauges {
    /// Only of functions for which any waits: thousands may be at rest.
    fn waiting(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut waiting = encoder.encode_descriptor(
            "waiting_requests",
            "Requests that wait for a replica, of functions for which any does",
            None,
            MetricType::Gauge,
        )?;
        for function in self.0.registry.all() {
            let queued = function.load().queued;
            if queued == 0 {
                continue;
            }
            let id = &function.id;
            let labels = [
                ("namespace", id.namespace()),
                ("kind", id.kind()),
                ("name", id.name()),
            ];
            ConstGauge::new(i64::from(queued)).encode(waiting.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.counts();
        let mut requests = encoder.encode_descriptor(
            "requests",
            "Requests by how they ended",
            None,
            MetricType::Counter,
        )?;
        for cause in Cause::ALL {
            let sum: u64 = counts.iter().map(|counts| counts.get(cause)).sum();
            let labels = [("cause", cause.as_str())];
            ConstCounter::new(sum).encode(requests.encode_family(&labels)?)?;
        }
        let mut hops = encoder.encode_descriptor(
            "hops",
            "Requests sent to the activator that owns a replica, by whether it took them",
            None,
            MetricType::Counter,
        )?;
        for (count, taken) in self.0.metrics.hops.iter().zip(["false", "true"]) {
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            count.encode(hops.encode_family(&[("taken", taken)])?)?;
        }
        let sent_again = ConstCounter::new(self.0.metrics.sent_again.load(Ordering::Relaxed));
        sent_again.encode(encoder.encode_descriptor(
            "sent_again",
            "Requests sent to a second replica after the first broke the connection unanswered",
            None,
            MetricType::Counter,
        )?)?;
        self.waiting(&mut encoder)?;
        let gauges = [
            (
                "connections",
                "Open client connections",
                self.0.connections() as u64,
            ),
            (
                "queued_bytes",
                "Bytes held by waiting requests",
                self.0.house.budget.used(),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        Ok(())
    }
}
