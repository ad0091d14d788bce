//! What is counted of the looking after PodAutoscalers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::children::ChildError;
use super::kind::Kind;
use crate::status::StatusWriter;

/// Counters of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) owned: Gauge,
    writes: Family<WriteLabels, Counter>,
    probes: Family<ProbeLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: String,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "these are label values")]
enum Outcome {
    written,
    changed,
    failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    is_activator: String,
}

impl Counters {
    pub(super) fn written<T>(&self, kind: Kind, outcome: &Result<T, ChildError>) {
        let outcome = match outcome {
            Ok(_) => Outcome::written,
            Err(ChildError::Changed) => Outcome::changed,
            Err(ChildError::Api { .. } | ChildError::Timeout { .. }) => Outcome::failed,
        };
        let kind = kind.resource().kind;
        self.writes
            .get_or_create(&WriteLabels { kind, outcome })
            .inc();
    }

    pub(super) fn probed(&self, is_activator: bool) {
        let is_activator = is_activator.to_string();
        self.probes
            .get_or_create(&ProbeLabels { is_activator })
            .inc();
    }

    pub(super) fn register(&self, statuses: &Arc<StatusWriter>, registry: &mut Registry) {
        registry.register(
            "zeron_knative_podautoscalers",
            "PodAutoscalers that this process looks after",
            self.owned.clone(),
        );
        registry.register(
            "zeron_knative_child_writes",
            "Writes of ServerlessServices and Metrics",
            self.writes.clone(),
        );
        registry.register(
            "zeron_knative_activator_probes",
            "Questions to public Services, by whether an activator answered",
            self.probes.clone(),
        );
        registry.register_collector(Box::new(Statuses(Arc::downgrade(statuses))));
    }
}

/// Statuses of PodAutoscalers and Metrics. Whoever shows them does not keep them being written.
#[derive(Debug)]
struct Statuses(Weak<StatusWriter>);

impl Collector for Statuses {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(writer) = self.0.upgrade() else {
            return Ok(());
        };
        let counters = writer.counters();
        let rows = [
            ("written", &counters.written),
            ("failed", &counters.failed),
            ("dropped", &counters.dropped),
        ];
        let mut family = encoder.encode_descriptor(
            "zeron_knative_status_writes",
            "Writes of statuses of PodAutoscalers and Metrics",
            None,
            MetricType::Counter,
        )?;
        for (outcome, count) in rows {
            let counter = ConstCounter::new(count.load(Ordering::Relaxed));
            let labels = [("outcome", outcome)];
            counter.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
