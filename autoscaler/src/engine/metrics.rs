//! Metrics of all functions, read from their views when somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelValue, EncodeMetric, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use zeron_core::metric::MetricValue;
use zeron_core::status::{FunctionStatus, TriggerStatus};

use super::knative_metrics::RevisionMetrics;
use super::view::Views;

pub(crate) fn register(views: Arc<Views>, registry: &mut Registry) {
    registry.register_collector(Box::new(FunctionMetrics(Arc::clone(&views))));
    registry.register_collector(Box::new(RevisionMetrics(views)));
}

#[derive(Debug)]
struct FunctionMetrics(Arc<Views>);

/// A gauge with one value per function.
type FunctionGauge = (&'static str, &'static str, fn(&FunctionStatus) -> f64);
/// A gauge with one value per metric trigger.
type TriggerGauge = (
    &'static str,
    &'static str,
    fn(&TriggerStatus) -> Option<f64>,
);

const FUNCTION_GAUGES: [FunctionGauge; 5] = [
    (
        "zeron_autoscaler_desired_replicas",
        "Replicas asked for",
        |status| f64::from(status.desired),
    ),
    (
        "zeron_autoscaler_ready_replicas",
        "Replicas that may be given requests",
        |status| f64::from(status.ready),
    ),
    (
        "zeron_autoscaler_starting_replicas",
        "Replicas asked for that are not ready",
        |status| f64::from(status.starting),
    ),
    (
        "zeron_autoscaler_in_flight_requests",
        "Requests at replicas, by the last report",
        |status| f64::from(status.in_flight),
    ),
    (
        "zeron_autoscaler_queued_requests",
        "Requests waiting, by the last report",
        |status| f64::from(status.queued),
    ),
];

const TRIGGER_GAUGES: [TriggerGauge; 4] = [
    (
        "keda_scaler_active",
        "Whether the trigger has work",
        |trigger| Some(f64::from(u8::from(trigger.is_active))),
    ),
    (
        "keda_scaler_metrics_value",
        "The newest value of the trigger, while it is known",
        |trigger| match trigger.value {
            MetricValue::Known { value, .. } => Some(value),
            MetricValue::Unknown { .. } => None,
        },
    ),
    (
        "zeron_autoscaler_trigger_is_unknown",
        "Whether the trigger's value is unknown, which keeps the function from going down",
        |trigger| Some(f64::from(u8::from(is_unknown(trigger)))),
    ),
    (
        "zeron_autoscaler_trigger_changed_seconds",
        "Unix time of the newest value, or since when it is unknown",
        |trigger| match trigger.value {
            MetricValue::Known { at, .. } => Some(at.as_millis() as f64 / 1e3),
            MetricValue::Unknown { since, .. } => Some(since.as_millis() as f64 / 1e3),
        },
    ),
];

fn is_unknown(trigger: &TriggerStatus) -> bool {
    matches!(trigger.value, MetricValue::Unknown { .. })
}

impl Collector for FunctionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let statuses: Vec<_> = self.0.all().iter().map(|view| view.status()).collect();
        for (name, help, read) in FUNCTION_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for status in &statuses {
                encode(&mut family, &function_labels(status), read(status))?;
            }
        }
        for (name, help, read) in TRIGGER_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for status in &statuses {
                for trigger in &status.triggers {
                    if let Some(value) = read(trigger) {
                        encode(&mut family, &trigger_labels(trigger), value)?;
                    }
                }
            }
        }
        encode_errors(&mut encoder, &statuses)
    }
}

/// Readings that failed, by trigger and by object, as KEDA counts them.
fn encode_errors(
    encoder: &mut DescriptorEncoder<'_>,
    statuses: &[FunctionStatus],
) -> Result<(), fmt::Error> {
    let triggers = || statuses.iter().flat_map(|status| &status.triggers);
    let mut family = encoder.encode_descriptor(
        "keda_scaler_detail_errors",
        "Readings of the trigger that failed",
        None,
        MetricType::Counter,
    )?;
    for trigger in triggers() {
        count(&mut family, &trigger_labels(trigger), trigger.health.errors)?;
    }
    for (kind, name, label) in [
        ("ScaledObject", "keda_scaled_object_errors", "scaledObject"),
        ("ScaledJob", "keda_scaled_job_errors", "scaledJob"),
    ] {
        let help = "Readings of the object's triggers that failed";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for ((namespace, name), errors) in errors_of(kind, triggers()) {
            let labels = [("namespace", namespace), (label, name)];
            count(&mut family, &labels, errors)?;
        }
    }
    Ok(())
}

/// Of each object of a kind, by namespace and name. A trigger with several metrics is read once for all of them.
fn errors_of<'a>(
    kind: &str,
    triggers: impl Iterator<Item = &'a TriggerStatus>,
) -> BTreeMap<(&'a str, &'a str), u64> {
    let mut by_trigger = BTreeMap::new();
    for it in triggers.filter(|it| it.source.kind == kind) {
        let object = (&*it.source.namespace, &*it.source.name);
        by_trigger.insert((object, it.index), it.health.errors);
    }
    let mut by_object = BTreeMap::new();
    for ((object, _), errors) in by_trigger {
        *by_object.entry(object).or_default() += errors;
    }
    by_object
}

fn count(
    family: &mut MetricEncoder<'_>,
    labels: &[(&str, impl EncodeLabelValue)],
    value: u64,
) -> Result<(), fmt::Error> {
    ConstCounter::new(value).encode(family.encode_family(&labels)?)
}

fn encode(
    family: &mut MetricEncoder<'_>,
    labels: &[(&str, String)],
    value: f64,
) -> Result<(), fmt::Error> {
    ConstGauge::new(value).encode(family.encode_family(&labels)?)
}

fn function_labels(status: &FunctionStatus) -> [(&'static str, String); 3] {
    [
        ("namespace", status.id.namespace().to_owned()),
        ("kind", status.id.kind().to_owned()),
        ("function", status.id.name().to_owned()),
    ]
}

/// KEDA's labels.
fn trigger_labels(trigger: &TriggerStatus) -> [(&'static str, String); 6] {
    let kind = match trigger.source.kind.as_str() {
        "ScaledJob" => "scaledjob",
        _ => "scaledobject",
    };
    [
        ("namespace", trigger.source.namespace.clone()),
        ("metric", trigger.metric.clone()),
        ("scaledObject", trigger.source.name.clone()),
        ("scaler", trigger.kind.clone()),
        ("triggerIndex", trigger.index.to_string()),
        ("type", kind.to_owned()),
    ]
}
