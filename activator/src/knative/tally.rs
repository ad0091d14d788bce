//! What Knative's dashboards read, under its names: OpenTelemetry's dots are Prometheus' underscores.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::measures::Measure;
use crate::load::Load;
use crate::route::Destination;
use crate::worker::Shared;

/// One gauge of every Revision that has requests here.
type Gauge = (&'static str, &'static str, fn(Load) -> u32);

const GAUGES: [Gauge; 3] = [
    (
        "kn_revision_request_concurrency",
        "Concurrent requests that are routed to Activator",
        Load::total,
    ),
    (
        "kn_revision_request_queued",
        "Number of requests currently queued in the activator waiting for capacity",
        |load| load.queued,
    ),
    (
        "kn_revision_request_active",
        "Number of requests currently being proxied by the activator",
        |load| load.in_flight,
    ),
];

/// The requests of all Revisions.
pub(crate) struct Tally(pub(crate) Arc<Shared>);

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tally")
    }
}

impl Collector for Tally {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let table = self.0.routes.load();
        let loads = table.revisions().all().map(|it| (it, it.state.load()));
        let busy: Vec<_> = loads.filter(|(_, load)| load.total() > 0).collect();
        for (name, help, value) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (revision, load) in &busy {
                let gauge = ConstGauge::new(i64::from(value(*load)));
                gauge.encode(family.encode_family(&labels(revision))?)?;
            }
        }
        for measure in Measure::ALL {
            let (name, help, unit) = (measure.name(), measure.help(), measure.unit());
            let histogram = MetricType::Histogram;
            let mut family = encoder.encode_descriptor(name, help, Some(&unit), histogram)?;
            for revision in table.revisions().all() {
                let measures = &revision.state.measures;
                measures.encode(measure, &mut family, labels(revision))?;
            }
        }
        Ok(())
    }
}

/// How Knative names a Revision on what it counts.
fn labels(revision: &Destination) -> [(&str, &str); 4] {
    let owner = &revision.function.owner;
    let service = match owner.kind.as_str() {
        "Service" => owner.name.as_str(),
        _ => "",
    };
    let id = &revision.state.id;
    [
        ("k8s_namespace_name", id.namespace()),
        ("kn_service_name", service),
        ("kn_configuration_name", owner.name.as_str()),
        ("kn_revision_name", id.name()),
    ]
}
