//! What the process back end counts.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Counters of one back end.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Processes started.
    pub(crate) starts: Counter,
    /// Starts that led to no ready replica, and replicas that ended by themselves.
    pub(crate) failures: Family<FailureLabel, Counter>,
    /// Processes that run.
    pub(crate) running: Gauge,
    /// From the order to the first positive answer of the readiness probe.
    pub(crate) start_seconds: Histogram,
    /// The part of it until the process exists.
    pub(crate) spawn_seconds: Histogram,
    /// Groups that were killed after their grace time.
    pub(crate) kills: Counter,
    /// Readiness probes sent.
    pub(crate) probes: Counter,
    /// Bytes written by replicas and kept.
    pub(crate) log_bytes: Counter,
    /// Bytes written by replicas that could not be kept.
    pub(crate) log_lost_bytes: Counter,
    /// How often the keeper had to be started again.
    pub(crate) keeper_restarts: Counter,
}

/// Label of [`Metrics::failures`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FailureLabel {
    pub(crate) cause: FailureCause,
}

/// Why there is no replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are label values")]
pub(crate) enum FailureCause {
    not_started,
    exited,
    deadline,
}

impl FailureCause {
    const ALL: [Self; 3] = [Self::not_started, Self::exited, Self::deadline];
}

/// Counters of all causes from the start: no rate sees the failure that makes its series.
fn no_failures() -> Family<FailureLabel, Counter> {
    let family = Family::default();
    for cause in FailureCause::ALL {
        drop(family.get_or_create(&FailureLabel { cause }));
    }
    family
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            starts: Counter::default(),
            failures: no_failures(),
            running: Gauge::default(),
            start_seconds: Histogram::new(BUCKETS),
            spawn_seconds: Histogram::new(BUCKETS),
            kills: Counter::default(),
            probes: Counter::default(),
            log_bytes: Counter::default(),
            log_lost_bytes: Counter::default(),
            keeper_restarts: Counter::default(),
        }
    }

    pub(crate) fn failed(&self, cause: FailureCause) {
        self.failures.get_or_create(&FailureLabel { cause }).inc();
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("zeron_process");
        registry.register("starts", "Processes started", self.starts.clone());
        registry.register(
            "failures",
            "Replicas that could not be started or ended by themselves",
            self.failures.clone(),
        );
        registry.register("running", "Processes that run", self.running.clone());
        registry.register_with_unit(
            "start",
            "From the order of a replica to its readiness",
            Unit::Seconds,
            self.start_seconds.clone(),
        );
        registry.register_with_unit(
            "spawn",
            "From the order of a replica to its process",
            Unit::Seconds,
            self.spawn_seconds.clone(),
        );
        registry.register(
            "kills",
            "Replicas killed after their termination grace",
            self.kills.clone(),
        );
        registry.register("probes", "Readiness probes sent", self.probes.clone());
        registry.register_with_unit(
            "log",
            "Output of replicas that was kept",
            Unit::Bytes,
            self.log_bytes.clone(),
        );
        registry.register_with_unit(
            "log_lost",
            "Output of replicas that could not be kept",
            Unit::Bytes,
            self.log_lost_bytes.clone(),
        );
        registry.register(
            "keeper_restarts",
            "Times the keeper had to be started again",
            self.keeper_restarts.clone(),
        );
    }
}

/// 0.5 ms .. 60 s.
const BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
    60.0,
];
