//! What the Kubernetes back end counts.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters, shared by the parts of one process.
#[derive(Debug)]
pub struct Counters {
    calls: Family<CallLabels, Counter>,
    call_seconds: LatencyFamily,
    pub(crate) scale_writes: Family<DirectionLabel, Counter>,
    pub(crate) scale_seconds: LatencyHistogram,
    pub(crate) scale_conflicts: Counter,
    pub(crate) scale_back_offs: Counter,
    pub(crate) scale_waiting: Gauge,
    pub(crate) foreign_changes: Counter,
    pub(crate) pods: Gauge,
    pub(crate) pod_events: Counter,
    pub(crate) watch_errors: Counter,
    watches_interrupted: Family<WatchLabel, Gauge>,
    pub(crate) relists: Counter,
    pub(crate) token_reviews: Counter,
}

/// A histogram of a millisecond to half a minute.
#[derive(Debug)]
pub(crate) struct LatencyHistogram(Histogram);

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self(latency())
    }
}

impl LatencyHistogram {
    pub(crate) fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

#[derive(Debug)]
struct LatencyFamily(Family<VerbLabel, Histogram, fn() -> Histogram>);

impl Default for LatencyFamily {
    fn default() -> Self {
        Self(Family::new_with_constructor(latency))
    }
}

fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    verb: Verb,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabel {
    verb: Verb,
}

/// Label of scale writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DirectionLabel {
    pub(crate) direction: Direction,
}

/// Which way a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are label values")]
pub(crate) enum Direction {
    from_zero,
    up,
    down,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabel {
    kind: &'static str,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are label values")]
pub(crate) enum Verb {
    get,
    create,
    update,
    patch,
    delete,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are label values")]
pub(crate) enum Outcome {
    ok,
    refused,
    conflict,
    throttled,
    server_error,
    unreachable,
    timeout,
}

impl Direction {
    const ALL: [Self; 3] = [Self::from_zero, Self::up, Self::down];
}

impl Verb {
    const ALL: [Self; 5] = [
        Self::get,
        Self::create,
        Self::update,
        Self::patch,
        Self::delete,
    ];
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::ok,
        Self::refused,
        Self::conflict,
        Self::throttled,
        Self::server_error,
        Self::unreachable,
        Self::timeout,
    ];
}

/// Counters of all `labels` from the start: no rate sees the one that makes its series.
fn all_at_zero<L>(labels: impl IntoIterator<Item = L>) -> Family<L, Counter>
where
    L: Clone + std::hash::Hash + Eq,
{
    let family = Family::default();
    for label in labels {
        drop(family.get_or_create(&label));
    }
    family
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// New counters, all zero.
    pub fn new() -> Self {
        let verbs = Verb::ALL.into_iter();
        let calls = verbs.flat_map(|verb| Outcome::ALL.map(|outcome| CallLabels { verb, outcome }));
        let directions = Direction::ALL.map(|direction| DirectionLabel { direction });
        Self {
            calls: all_at_zero(calls),
            call_seconds: LatencyFamily::default(),
            scale_writes: all_at_zero(directions),
            scale_seconds: LatencyHistogram::default(),
            scale_conflicts: Counter::default(),
            scale_back_offs: Counter::default(),
            scale_waiting: Gauge::default(),
            foreign_changes: Counter::default(),
            pods: Gauge::default(),
            pod_events: Counter::default(),
            watch_errors: Counter::default(),
            watches_interrupted: Family::default(),
            relists: Counter::default(),
            token_reviews: Counter::default(),
        }
    }

    /// Adds them to `registry`, prefixed with `zeron_kubernetes`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("zeron_kubernetes");
        r.register(
            "calls",
            "Requests to the API server by outcome",
            self.calls.clone(),
        );
        r.register(
            "call_seconds",
            "Duration of requests to the API server",
            self.call_seconds.0.clone(),
        );
        r.register(
            "scale_writes",
            "Successful writes of a replica count",
            self.scale_writes.clone(),
        );
        r.register(
            "scale_write_seconds",
            "From the wish to the answer of the API server",
            self.scale_seconds.0.clone(),
        );
        r.register(
            "scale_conflicts",
            "Writes refused because the count was another",
            self.scale_conflicts.clone(),
        );
        r.register(
            "scale_back_offs",
            "Writes that failed and are tried again later",
            self.scale_back_offs.clone(),
        );
        r.register(
            "scale_waiting",
            "Functions whose write waits or is under way",
            self.scale_waiting.clone(),
        );
        r.register(
            "foreign_changes",
            "Replica counts that somebody else wrote",
            self.foreign_changes.clone(),
        );
        r.register("pods", "Pods in the table", self.pods.clone());
        r.register(
            "pod_events",
            "Events of the pod watch",
            self.pod_events.clone(),
        );
        r.register(
            "watch_errors",
            "Errors of the watches of objects",
            self.watch_errors.clone(),
        );
        r.register(
            "watches_interrupted",
            "Watches that were interrupted and have shown nothing since",
            self.watches_interrupted.clone(),
        );
        r.register(
            "relists",
            "Full lists of objects that are watched",
            self.relists.clone(),
        );
        r.register(
            "token_reviews",
            "Tokens checked by the API server",
            self.token_reviews.clone(),
        );
    }

    /// How many watches of a kind, such as `pods`, are interrupted.
    pub(crate) fn interrupted_watches(&self, kind: &'static str) -> Gauge {
        let gauge = self.watches_interrupted.get_or_create(&WatchLabel { kind });
        gauge.clone()
    }

    pub(crate) fn observe_call(&self, verb: Verb, outcome: Outcome, took: Duration) {
        self.calls
            .get_or_create(&CallLabels { verb, outcome })
            .inc();
        self.call_seconds
            .0
            .get_or_create(&VerbLabel { verb })
            .observe(took.as_secs_f64());
    }
}
