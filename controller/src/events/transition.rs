//! Which events a change of status, or a decision, is worth.

use serde_json::Value;

use super::Reason;
use crate::projection::ObjectKind;

/// Events of a status that turns from `old` into `new`, both as the object has them. An object
/// that is seen again as it was (a restart) has none.
pub fn of_status(kind: &ObjectKind, old: &Value, new: &Value) -> Vec<(Reason, String)> {
    match kind {
        ObjectKind::ScaledObject => scaled_object(old, new),
        ObjectKind::ScaledJob => scaled_job(old, new),
        _ => Vec::new(),
    }
}

/// The event of a write that took the count `from` `to`; `why` is the decision's own sentence,
/// `failure` what the API server said against it.
pub fn of_decision(
    from: u32,
    to: u32,
    why: &str,
    failure: Option<&str>,
) -> Option<(Reason, String)> {
    let reason = match (from, to, failure) {
        _ if from == to => return None,
        (0, _, None) => Reason::KedaScaleTargetActivated,
        (0, _, Some(_)) => Reason::KedaScaleTargetActivationFailed,
        (_, 0, None) => Reason::KedaScaleTargetDeactivated,
        (_, 0, Some(_)) => Reason::KedaScaleTargetDeactivationFailed,
        (_, _, None) => Reason::ScaleTargetScaled,
        (_, _, Some(_)) => return None,
    };
    let failed = failure.map(|f| format!(": {f}")).unwrap_or_default();
    Some((reason, format!("scaled from {from} to {to}: {why}{failed}")))
}

fn scaled_object(old: &Value, new: &Value) -> Vec<(Reason, String)> {
    let (ready, failed) = (Reason::ScaledObjectReady, Reason::ScaledObjectCheckFailed);
    let mut events = check(old, new, ready, failed);
    events.extend(started(old, new));
    let flips = [
        (
            "Paused",
            Reason::ScaledObjectPaused,
            Reason::ScaledObjectUnpaused,
        ),
        (
            "Fallback",
            Reason::ScaledObjectFallbackActivated,
            Reason::ScaledObjectFallbackDeactivated,
        ),
    ];
    let flipped = |(kind, begins, ends)| flip(old, new, kind, begins, ends);
    events.extend(flips.into_iter().filter_map(flipped));
    events
}

fn scaled_job(old: &Value, new: &Value) -> Vec<(Reason, String)> {
    let (ready, failed) = (Reason::ScaledJobReady, Reason::ScaledJobCheckFailed);
    let (paused, unpaused) = (Reason::ScaledJobPaused, Reason::ScaledJobUnpaused);
    let mut events = check(old, new, ready, failed);
    events.extend(started(old, new));
    events.extend(flip(old, new, "Paused", paused, unpaused));
    events
}

/// The first time that it is in force.
fn started(old: &Value, new: &Value) -> Option<(Reason, String)> {
    let is_first = condition(old, "Ready").is_none() && is(new, "Ready", "True");
    let triggers = new["triggersTypes"].as_str().unwrap_or_default();
    let message = || format!("triggers are followed: {triggers}");
    is_first.then(|| (Reason::KedaScalersStarted, message()))
}

/// A condition that turned.
fn flip(
    old: &Value,
    new: &Value,
    kind: &str,
    begins: Reason,
    ends: Reason,
) -> Option<(Reason, String)> {
    match (is(old, kind, "True"), is(new, kind, "True")) {
        (false, true) => Some((begins, message(new, kind))),
        (true, false) => Some((ends, message(new, kind))),
        _ => None,
    }
}

/// Whether it came into force, or ceased to be.
fn check(old: &Value, new: &Value, ready: Reason, failed: Reason) -> Vec<(Reason, String)> {
    let Some(now) = condition(new, "Ready") else {
        return Vec::new();
    };
    let before = condition(old, "Ready");
    let same = |field: &str| before.is_some_and(|b| b[field] == now[field]);
    if same("status") && same("reason") {
        return Vec::new();
    }
    let reason = match (now["status"].as_str(), now["reason"].as_str()) {
        (Some("True"), _) => ready,
        (_, Some("TriggerError" | "PartialTriggerError")) => Reason::KedaScalerFailed,
        (Some("False"), _) => failed,
        _ => return Vec::new(),
    };
    vec![(reason, message(new, "Ready"))]
}

fn condition<'v>(status: &'v Value, kind: &str) -> Option<&'v Value> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == kind)
}

fn is(status: &Value, kind: &str, wanted: &str) -> bool {
    condition(status, kind).is_some_and(|c| c["status"] == wanted)
}

fn message(status: &Value, kind: &str) -> String {
    let message = condition(status, kind).and_then(|c| c["message"].as_str());
    message.unwrap_or_default().to_owned()
}
