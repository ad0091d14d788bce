//! Metrics of a ScaledObject by KEDA's names: which there are, how they answer, which have work.

use serde_json::{Map, Value, json};
use zeron_core::Timestamp;
use zeron_core::metric::{MetricValue, UnknownKind};
use zeron_core::status::{FunctionStatus, TriggerStatus};

use super::input::Observation;
use super::scaled_object::ACTIVE_STEP;

/// One trigger of the spec with what is known of its metrics.
#[derive(Clone, Debug)]
pub(super) struct Metric<'a> {
    pub(super) name: String,
    pub(super) is_active: bool,
    /// It was asked for and gives no value.
    pub(super) is_silent: bool,
    /// A fallback stands in for its value.
    pub(super) is_fallback: bool,
    pub(super) status: Option<&'a TriggerStatus>,
}

/// KEDA's name of a metric: the trigger's index and the metric's own name, without characters that
/// a label may not have.
pub fn metric_name(index: usize, metric: &str) -> String {
    let allowed = |c: char| if "/.:%()".contains(c) { '-' } else { c };
    format!(
        "s{index}-{}",
        metric.chars().map(allowed).collect::<String>()
    )
}

/// Whether a trigger measures the replicas themselves.
pub(super) fn is_resource(kind: &str) -> bool {
    matches!(kind, "cpu" | "memory")
}

/// The HTTP add-on's object that a trigger names: kind and name.
fn http_object(trigger: &Value) -> Option<(&'static str, &str)> {
    let named = |key: &str| trigger["metadata"][key].as_str();
    let is_external = matches!(trigger["type"].as_str(), Some("external-push" | "external"));
    let route = named("interceptorRoute").map(|name| ("InterceptorRoute", name));
    let found = route.or_else(|| named("httpScaledObject").map(|name| ("HTTPScaledObject", name)));
    found.filter(|_| is_external)
}

/// All external metrics of a ScaledObject, in the order of its triggers.
pub(super) fn external<'a>(spec: &Value, seen: &Observation<'a>) -> Vec<Metric<'a>> {
    let own = seen.report.object.object_ref();
    let statuses = seen.functions.iter().flat_map(|f| &f.triggers);
    let mut left: Vec<&TriggerStatus> = statuses.filter(|t| t.source == own).collect();
    let triggers: Vec<&Value> = spec["triggers"].as_array().into_iter().flatten().collect();
    let mut found = Vec::new();
    for (index, trigger) in triggers.iter().enumerate() {
        let kind = trigger["type"].as_str().unwrap_or_default();
        if is_resource(kind) {
            left.retain(|t| t.kind != kind);
            continue;
        }
        if let Some((kind, name)) = http_object(trigger) {
            found.push(http(index, kind, name, seen));
            continue;
        }
        // A trigger has one metric; an external one may have several, the last of its kind all
        // that are left.
        let is_last = !triggers[index + 1..].iter().any(|t| t["type"] == kind);
        let mut taken = 0;
        left.retain(|status| {
            let is_own = status.kind == kind && (taken == 0 || is_last);
            if is_own {
                taken += 1;
                found.push(of_status(index, status));
            }
            !is_own
        });
    }
    found
}

fn http<'a>(index: usize, kind: &str, name: &str, seen: &Observation<'a>) -> Metric<'a> {
    let namespace = &seen.report.object.namespace;
    let metric = match kind {
        "InterceptorRoute" => format!("http_{name}_concurrency"),
        _ => format!("http-{namespace}/{name}"),
    };
    Metric {
        name: metric_name(index, &metric),
        is_active: seen.functions.iter().any(|f| is_at_work(f, seen.now)),
        is_silent: false,
        is_fallback: false,
        status: None,
    }
}

/// Requests come and go many times between two looks: a moment without one is no end of work.
fn is_at_work(function: &FunctionStatus, now: Timestamp) -> bool {
    let is_recent = |last: Timestamp| now.since(last) < ACTIVE_STEP;
    function.in_flight + function.queued > 0
        || function.desired > 0 && function.last_active.is_some_and(is_recent)
}

fn of_status(index: usize, status: &TriggerStatus) -> Metric<'_> {
    // A trigger whose source never answered is called `s0-kafka` already.
    let prefix = format!("s{index}-");
    let metric = status.metric.strip_prefix(&prefix);
    Metric {
        name: metric_name(index, metric.unwrap_or(&status.metric)),
        is_active: status.is_active,
        is_silent: is_silent(&status.value),
        is_fallback: status.health.is_fallback,
        status: Some(status),
    }
}

/// Whether nothing is known, though it was asked for.
fn is_silent(value: &MetricValue) -> bool {
    match value {
        MetricValue::Known { .. } => false,
        MetricValue::Unknown { reason, .. } => reason.kind != UnknownKind::NotRead,
    }
}

/// `status.health`. Counting ends above the threshold: what comes after changes nothing.
pub(super) fn health(metrics: &[Metric<'_>], threshold: Option<u32>) -> Value {
    const WITHOUT_FALLBACK: u32 = 3;
    let most = threshold.unwrap_or(WITHOUT_FALLBACK).saturating_add(1);
    let mut health = Map::new();
    for metric in metrics {
        let Some(status) = metric.status else {
            continue;
        };
        let least = u32::from(metric.is_silent);
        let failures = status.health.failures.max(least).min(most);
        let word = if failures == 0 { "Happy" } else { "Failing" };
        let entry = json!({ "numberOfFailures": failures, "status": word });
        health.insert(metric.name.clone(), entry);
    }
    Value::Object(health)
}

/// `status.triggersActivity`.
pub(super) fn activity(metrics: &[Metric<'_>]) -> Value {
    let entry = |m: &Metric<'_>| (m.name.clone(), json!({ "isActive": m.is_active }));
    Value::Object(metrics.iter().map(entry).collect())
}

/// Types of the triggers and names of their authentications, each once, as KEDA prints them.
pub(super) fn types(spec: &Value) -> (String, String) {
    let (mut types, mut authentications) = (Vec::new(), Vec::new());
    for trigger in spec["triggers"].as_array().into_iter().flatten() {
        let add = |list: &mut Vec<String>, value: &Value| {
            let text = value.as_str().unwrap_or_default();
            if !text.is_empty() && !list.iter().any(|known| known == text) {
                list.push(text.to_owned());
            }
        };
        add(&mut types, &trigger["type"]);
        add(&mut authentications, &trigger["authenticationRef"]["name"]);
    }
    (types.join(","), authentications.join(","))
}
