//! Which events there are, and how many.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::limit::Limiter;
use super::*;
use crate::projection::ObjectKind;

fn status(ready: (&str, &str), paused: &str) -> Value {
    json!({
        "triggersTypes": "kafka",
        "conditions": [
            {"type": "Ready", "status": ready.0, "reason": ready.1, "message": "words"},
            {"type": "Paused", "status": paused, "reason": "x", "message": "pause words"},
        ],
    })
}

fn reasons(old: &Value, new: &Value) -> Vec<&'static str> {
    let events = of_status(&ObjectKind::ScaledObject, old, new);
    events.iter().map(|(reason, _)| reason.as_str()).collect()
}

#[test]
fn a_new_object_is_ready_and_its_scalers_started() {
    let new = status(("True", "ScaledObjectReady"), "False");
    assert_eq!(
        reasons(&json!({}), &new),
        ["ScaledObjectReady", "KEDAScalersStarted"]
    );
    assert_eq!(reasons(&new, &new), Vec::<&str>::new());
}

#[test]
fn a_failed_check_is_a_warning_with_the_conditions_words() {
    let old = status(("True", "ScaledObjectReady"), "False");
    let new = status(("False", "ScaledObjectCheckFailed"), "False");
    let events = of_status(&ObjectKind::ScaledObject, &old, &new);
    assert_eq!(
        events,
        [(Reason::ScaledObjectCheckFailed, "words".to_owned())]
    );
    assert!(Reason::ScaledObjectCheckFailed.is_warning());
    let silent = status(("Unknown", "PartialTriggerError"), "False");
    assert_eq!(reasons(&old, &silent), ["KEDAScalerFailed"]);
}

#[test]
fn pauses_begin_and_end() {
    let (running, paused) = (
        status(("True", "ScaledObjectReady"), "False"),
        status(("True", "ScaledObjectReady"), "True"),
    );
    assert_eq!(reasons(&running, &paused), ["ScaledObjectPaused"]);
    assert_eq!(reasons(&paused, &running), ["ScaledObjectUnpaused"]);
}

#[test]
fn decisions_say_from_where_to_where_and_why() {
    let said = |from, to, failure| {
        of_decision(from, to, "kafka asks for 3", failure).map(|(r, m)| (r.as_str(), m))
    };
    let up = said(0, 3, None).unwrap();
    assert_eq!(up.0, "KEDAScaleTargetActivated");
    assert_eq!(up.1, "scaled from 0 to 3: kafka asks for 3");
    assert_eq!(said(3, 0, None).unwrap().0, "KEDAScaleTargetDeactivated");
    assert_eq!(
        said(0, 1, Some("forbidden")).unwrap().0,
        "KEDAScaleTargetActivationFailed"
    );
    assert_eq!(
        said(1, 0, Some("forbidden")).unwrap().0,
        "KEDAScaleTargetDeactivationFailed"
    );
    assert_eq!(said(3, 3, None), None);
}

fn notice(uid: &str, message: &str) -> Notice {
    Notice {
        object: ObjectKey::new(ObjectKind::ScaledObject, "shop", "orders"),
        uid: uid.into(),
        reason: Reason::ScaleTargetScaled,
        message: message.to_owned(),
    }
}

#[test]
fn the_same_words_are_sent_once_a_minute() {
    let (mut limiter, start) = (Limiter::default(), Instant::now());
    let mut sent = 0;
    for second in 0..180 {
        let now = start + Duration::from_secs(second);
        sent += u32::from(limiter.allows(&notice("1", "again"), now));
    }
    assert_eq!(sent, 3);
}

#[test]
fn an_object_has_a_burst_and_then_one_event_every_half_minute() {
    let (mut limiter, start) = (Limiter::default(), Instant::now());
    let mut sent = 0;
    for n in 0..3_000_u64 {
        let now = start + Duration::from_millis(n * 100);
        sent += u32::from(limiter.allows(&notice("1", &format!("from {n}")), now));
    }
    assert_eq!(sent, 10 + 300 / 30 - 1);
    assert!(limiter.allows(&notice("2", "other"), start + Duration::from_secs(300)));
}
