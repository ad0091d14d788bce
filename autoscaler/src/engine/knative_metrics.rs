//! The metrics of Knative's autoscaler by their own names, for its dashboards.
//!
//! Source: knative/serving `pkg/autoscaler/scaling` and `pkg/reconciler/autoscaling/kpa`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use zeron_core::path::PathAsk;
use zeron_core::policy::{KnativeMetric, Scaling};

use super::view::{Facts, Views};

/// A gauge with one value per function whose path is switched; `None`: not of this function.
type Gauge = (
    &'static str,
    &'static str,
    fn(&Facts, &PathAsk) -> Option<f64>,
);

const GAUGES: [Gauge; 14] = [
    (
        "kn_revision_pods_desired",
        "Replicas that are wanted",
        |_, ask| ask.desired.map(f64::from),
    ),
    (
        "kn_revision_pods_requested",
        "Replicas asked for",
        |facts, _| Some(f64::from(facts.asked)),
    ),
    (
        "kn_revision_pods_count",
        "Replicas that are ready",
        |facts, _| Some(f64::from(facts.ready())),
    ),
    (
        "kn_revision_pods_not_ready_count",
        "Replicas that run and are not ready",
        |facts, _| {
            Some(f64::from(
                facts
                    .endpoints
                    .as_ref()
                    .map_or(0, |it| it.live() - it.ready()),
            ))
        },
    ),
    (
        "kn_revision_pods_pending_count",
        "Replicas that do not run yet",
        |facts, _| {
            Some(f64::from(
                facts.endpoints.as_ref().map_or(0, |it| it.pending),
            ))
        },
    ),
    (
        "kn_revision_pods_terminating_count",
        "Replicas that are about to stop",
        |facts, _| Some(terminating(facts)),
    ),
    (
        "kn_revision_capacity_excess",
        "Requests that the ready replicas could take on top",
        |_, ask| Some(ask.excess_burst_capacity),
    ),
    (
        "kn_revision_panic_mode",
        "Whether it scales in panic mode",
        |_, ask| Some(f64::from(u8::from(ask.is_panicking))),
    ),
    (
        "kn_revision_concurrency_stable",
        "Mean concurrency over the stable window",
        |facts, ask| measured(facts, KnativeMetric::Concurrency, ask.stable),
    ),
    (
        "kn_revision_concurrency_panic",
        "Mean concurrency over the panic window",
        |facts, ask| measured(facts, KnativeMetric::Concurrency, ask.panic),
    ),
    (
        "kn_revision_concurrency_target",
        "Concurrency that one replica should get",
        |facts, ask| measured(facts, KnativeMetric::Concurrency, ask.target),
    ),
    (
        "kn_revision_rps_stable",
        "Mean requests per second over the stable window",
        |facts, ask| measured(facts, KnativeMetric::Rps, ask.stable),
    ),
    (
        "kn_revision_rps_panic",
        "Mean requests per second over the panic window",
        |facts, ask| measured(facts, KnativeMetric::Rps, ask.panic),
    ),
    (
        "kn_revision_rps_target",
        "Requests per second that one replica should get",
        |facts, ask| measured(facts, KnativeMetric::Rps, ask.target),
    ),
];

/// Metrics of every function whose path is switched.
#[derive(Debug)]
pub(crate) struct RevisionMetrics(pub(crate) Arc<Views>);

impl Collector for RevisionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let facts = self.0.all().into_iter().map(|view| view.facts());
        let switched: Vec<(Facts, PathAsk)> = facts
            .filter_map(|facts| facts.path.map(|ask| (facts, ask)))
            .collect();
        // Where nothing is switched nobody looks for these names.
        let gauges = GAUGES.iter().filter(|_| !switched.is_empty());
        for (name, help, read) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (facts, ask) in &switched {
                if let Some(value) = read(facts, ask) {
                    let labels: &[(&str, &str)] = &labels(facts);
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

/// A Service's Configuration has its name; what has no Service has no such names here.
fn labels(facts: &Facts) -> [(&'static str, &str); 4] {
    let function = &facts.function;
    let service = match function.owner.kind.as_str() {
        "Service" => function.owner.name.as_str(),
        _ => "",
    };
    [
        ("kn_service_name", service),
        ("kn_configuration_name", service),
        ("kn_revision_name", function.id.name()),
        ("k8s_namespace_name", function.id.namespace()),
    ]
}

fn terminating(facts: &Facts) -> f64 {
    let endpoints = facts.endpoints.iter().flat_map(|it| &it.endpoints);
    let draining = endpoints.filter(|it| it.is_draining).count();
    f64::from(u32::try_from(draining).unwrap_or(u32::MAX))
}

fn measured(facts: &Facts, metric: KnativeMetric, value: f64) -> Option<f64> {
    let mut groups = facts.function.scale.groups.iter();
    let is_measured = groups.any(|group| match &group.scaling {
        Scaling::Knative(knative) => knative.metric == metric,
        Scaling::Http(_) | Scaling::Metric(_) => false,
    });
    is_measured.then_some(value)
}
