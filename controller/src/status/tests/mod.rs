//! Statuses as KEDA's users read them, and when they are written.
#![allow(clippy::unwrap_used)]

mod jobs;
mod objects;
mod writing;

use serde_json::{Value, json};
use zeron_core::metric::{MetricValue, Unknown, UnknownKind};
use zeron_core::status::{FunctionStatus, Phase, TriggerStatus};
use zeron_core::{FunctionId, Timestamp};

use super::*;
use crate::projection::{ObjectKey, ObjectReport};

fn key(kind: ObjectKind) -> ObjectKey {
    ObjectKey::new(kind, "shop", "orders")
}

fn report(kind: ObjectKind, outcome: Outcome) -> ObjectReport {
    ObjectReport {
        object: key(kind),
        uid: "1".into(),
        generation: 3,
        function: Some(FunctionId::new("shop", "Deployment", "orders")),
        outcome,
        partial: Vec::new(),
        warnings: Vec::new(),
        denied: Vec::new(),
        original_replicas: Some(2),
        address: None,
        used_by: Vec::new(),
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + seconds)
}

fn known(value: f64) -> MetricValue {
    MetricValue::Known { value, at: at(0) }
}

fn unknown(kind: UnknownKind, since: u64) -> MetricValue {
    let message = "no answer".to_owned();
    MetricValue::Unknown {
        reason: Unknown { kind, message },
        since: at(since),
    }
}

fn trigger(kind: &str, metric: &str, value: MetricValue, is_active: bool) -> TriggerStatus {
    TriggerStatus {
        source: key(ObjectKind::ScaledObject).object_ref(),
        index: 0,
        kind: kind.to_owned(),
        metric: metric.to_owned(),
        value,
        target: 10.0,
        is_active,
        health: Default::default(),
        push_trouble: None,
    }
}

fn function(triggers: Vec<TriggerStatus>) -> FunctionStatus {
    FunctionStatus {
        id: FunctionId::new("shop", "Deployment", "orders"),
        owner: key(ObjectKind::ScaledObject).object_ref(),
        phase: Phase::Cold,
        message: None,
        desired: 0,
        ready: 0,
        starting: 0,
        max: Some(10),
        in_flight: 0,
        queued: 0,
        triggers,
        failure: None,
        since: at(0),
        last_active: None,
        paused_at: None,
        held: Vec::new(),
        path: None,
    }
}

/// A ScaledObject with one Kafka trigger.
fn object() -> Value {
    json!({
        "metadata": { "name": "orders", "namespace": "shop", "generation": 3, "annotations": {} },
        "spec": {
            "scaleTargetRef": { "name": "orders" },
            "triggers": [{
                "type": "kafka",
                "metadata": {},
                "authenticationRef": { "name": "broker" },
            }],
        },
    })
}

fn seen<'a>(
    report: &'a ObjectReport,
    functions: &'a [FunctionStatus],
    now: u64,
) -> Observation<'a> {
    Observation {
        report,
        target: None,
        functions,
        is_through_service: false,
        now: at(now),
    }
}

fn condition<'v>(object: &'v Value, kind: &str) -> &'v Value {
    let all = object["status"]["conditions"].as_array().unwrap();
    all.iter().find(|c| c["type"] == kind).unwrap()
}

/// Status and reason of a condition.
fn said<'v>(object: &'v Value, kind: &str) -> (&'v str, &'v str) {
    let condition = condition(object, kind);
    (
        condition["status"].as_str().unwrap(),
        condition["reason"].as_str().unwrap(),
    )
}
