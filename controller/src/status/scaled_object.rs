//! The status of a ScaledObject, with KEDA's names and reasons.

use std::time::Duration;

use serde_json::{Value, json};
use zeron_core::Timestamp;
use zeron_core::status::FunctionStatus;

use super::conditions::{self, FALSE, State, TRUE, UNKNOWN, parse, rfc3339};
use super::extras;
use super::input::Observation;
use super::metrics::{self, Metric};
use crate::projection::Outcome;

/// `lastActiveTime` moves at most so often while there is work.
pub(super) const ACTIVE_STEP: Duration = Duration::from_secs(15);

pub(super) fn status(object: &Value, seen: &Observation<'_>) -> Value {
    let (spec, old) = (&object["spec"], &object["status"]);
    let metrics = metrics::external(spec, seen);
    let pause = Pause::of(object);
    let (types, authentications) = metrics::types(spec);
    let mut status = json!({
        "conditions": conditions(object, seen, &metrics, &pause),
        "externalMetricNames": names(&metrics),
        "resourceMetricNames": resources(spec),
        "health": metrics::health(&metrics, threshold(spec)),
        "triggersActivity": metrics::activity(&metrics),
        "triggersTypes": types,
        "authenticationsTypes": authentications,
        "pausedReplicaCount": pause.replicas,
        "compositeScalerName": composite(spec),
        // There is none, and what KEDA made is gone.
        "hpaName": null,
    });
    if let Some(target) = seen.target {
        let (group, version) = target
            .api_version
            .split_once('/')
            .unwrap_or(("", &target.api_version));
        status["scaleTargetKind"] = json!(format!("{}.{}", target.api_version, target.kind));
        status["scaleTargetGVKR"] = json!({
            "group": group, "version": version, "kind": target.kind, "resource": target.plural,
        });
    }
    if let (true, Some(replicas)) = (
        old["originalReplicaCount"].is_null(),
        seen.report.original_replicas,
    ) {
        status["originalReplicaCount"] = json!(replicas);
    }
    if let Some(time) = last_active(old, seen, is_active(object, seen, &metrics)) {
        status["lastActiveTime"] = json!(time);
    }
    status
}

/// `None` instead of an empty list: absent, as the original leaves it.
pub(super) fn names<'m>(metrics: &'m [Metric<'_>]) -> Option<Vec<&'m str>> {
    let names: Vec<&str> = metrics.iter().map(|m| m.name.as_str()).collect();
    (!names.is_empty()).then_some(names)
}

fn resources(spec: &Value) -> Option<Vec<&str>> {
    let triggers = spec["triggers"].as_array()?.iter();
    let mut kinds: Vec<&str> = triggers
        .filter_map(|t| t["type"].as_str())
        .filter(|kind| metrics::is_resource(kind))
        .collect();
    kinds.dedup();
    (!kinds.is_empty()).then_some(kinds)
}

fn composite(spec: &Value) -> Option<&'static str> {
    let formula = spec["advanced"]["scalingModifiers"]["formula"].as_str();
    formula
        .filter(|f| !f.is_empty())
        .map(|_| "composite-metric")
}

fn threshold(spec: &Value) -> Option<u32> {
    let threshold = spec["fallback"]["failureThreshold"].as_u64()?;
    u32::try_from(threshold).ok()
}

/// What the annotations say about pausing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    words: Option<String>,
    replicas: Option<i32>,
}

impl Pause {
    pub(super) fn of(object: &Value) -> Self {
        let get = |name: &str| {
            let key = format!("autoscaling.keda.sh/{name}");
            object["metadata"]["annotations"][&key].as_str()
        };
        let flag = |name: &str| get(name).is_some_and(|value| !is_false(value));
        let replicas = get("paused-replicas").and_then(|value| value.parse().ok());
        let words = if let Some(replicas) = replicas {
            Some(format!("paused at {replicas} replicas"))
        } else if flag("paused") {
            Some("paused at the count that there is".to_owned())
        } else {
            match (flag("paused-scale-in"), flag("paused-scale-out")) {
                (true, true) => Some("scaling in and out is paused".to_owned()),
                (true, false) => Some("scaling in is paused".to_owned()),
                (false, true) => Some("scaling out is paused".to_owned()),
                (false, false) => None,
            }
        };
        Self { words, replicas }
    }

    /// Of a ScaledJob: `paused` alone.
    pub(super) fn of_job(object: &Value) -> Self {
        let value = object["metadata"]["annotations"]["autoscaling.keda.sh/paused"].as_str();
        let is_paused = value.is_some_and(|value| !is_false(value));
        Self {
            words: is_paused.then(|| "paused: no Jobs are created".to_owned()),
            replicas: None,
        }
    }

    /// Whether anything is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.words.is_some()
    }

    pub(super) fn state(&self, what: &str) -> State {
        let reason = |word: &str| format!("{what}{word}");
        match &self.words {
            Some(words) => State::new("Paused", TRUE, &reason("Paused"), words.as_str()),
            None => State::new("Paused", FALSE, &reason("Unpaused"), "it is not paused"),
        }
    }
}

fn is_false(value: &str) -> bool {
    matches!(value, "false" | "False" | "FALSE" | "f" | "F" | "0")
}

fn conditions(
    object: &Value,
    seen: &Observation<'_>,
    metrics: &[Metric<'_>],
    pause: &Pause,
) -> Value {
    let old = &object["status"]["conditions"];
    let mut states = vec![
        ready(seen, metrics),
        active(object, seen, metrics),
        fallback(metrics),
        pause.state("ScaledObject"),
    ];
    states.extend(extras::states(old, seen));
    // KEDA's mirror of its HorizontalPodAutoscaler, which is gone.
    conditions::keda(old, &states, &["HPAActive"])
}

/// Why an object is not in force: reason and sentence.
pub(super) fn fault(
    outcome: &Outcome,
    check_failed: &'static str,
) -> Option<(&'static str, String)> {
    let message = match outcome {
        Outcome::Ok | Outcome::NotManaged => return None,
        Outcome::Invalid {
            problems,
            is_previous_in_force,
        } => {
            let rest = match is_previous_in_force {
                true => "; the last version without faults stays in force",
                false => "",
            };
            format!("{}{rest}", problems.join("; "))
        }
        Outcome::TargetMissing { message } => message.clone(),
        Outcome::Conflict(conflict) => extras::in_words(conflict),
        Outcome::NotBuiltIn { types } => format!(
            "triggers of type {} are not built in: it is left alone; an external scaler may serve them",
            types.join(", ")
        ),
    };
    Some((check_failed, message))
}

fn ready(seen: &Observation<'_>, metrics: &[Metric<'_>]) -> State {
    let state =
        |status, reason: &str, message: String| State::new("Ready", status, reason, message);
    if let Some((reason, message)) = fault(&seen.report.outcome, "ScaledObjectCheckFailed") {
        return state(FALSE, reason, message);
    }
    if let Some(failure) = seen.functions.iter().find_map(|f| f.failure.as_ref()) {
        return state(FALSE, &failure.reason, failure.message.clone());
    }
    let failing: Vec<&str> = metrics
        .iter()
        .filter(|m| m.is_silent)
        .map(|m| m.name.as_str())
        .collect();
    let mut faults = seen.report.partial.clone();
    if !failing.is_empty() {
        faults.push(format!("no value of {}", failing.join(", ")));
    }
    let is_none_left = !metrics.is_empty() && failing.len() == metrics.len();
    match (faults.is_empty(), is_none_left) {
        (true, _) => state(TRUE, "ScaledObjectReady", "it is in force".to_owned()),
        (false, true) => state(FALSE, "TriggerError", faults.join("; ")),
        (false, false) => state(UNKNOWN, "PartialTriggerError", faults.join("; ")),
    }
}

fn is_forced(object: &Value) -> bool {
    let value = &object["metadata"]["annotations"]["autoscaling.keda.sh/force-activation"];
    value
        .as_str()
        .is_some_and(|v| !matches!(v, "false" | "False" | "FALSE" | "f" | "F" | "0"))
}

fn is_active(object: &Value, seen: &Observation<'_>, metrics: &[Metric<'_>]) -> bool {
    let own = seen.report.object.object_ref();
    let statuses = seen.functions.iter().flat_map(|f| &f.triggers);
    let any = statuses.filter(|t| t.source == own).any(|t| t.is_active);
    any || metrics.iter().any(|m| m.is_active) || is_forced(object)
}

fn active(object: &Value, seen: &Observation<'_>, metrics: &[Metric<'_>]) -> State {
    let state = |status, reason, message: &str| State::new("Active", status, reason, message);
    if fault(&seen.report.outcome, "").is_some() || seen.functions.is_empty() {
        return state(UNKNOWN, "UnknownState", "it is not in force");
    }
    if is_active(object, seen, metrics) {
        return state(TRUE, "ScalerActive", "there is work");
    }
    if metrics.iter().any(|m| m.is_silent) {
        return state(
            UNKNOWN,
            "UnknownState",
            "a source does not say whether there is work",
        );
    }
    let spec = &object["spec"];
    let rest = spec["idleReplicaCount"].as_u64();
    let rest = rest.or(spec["minReplicaCount"].as_u64()).unwrap_or(0);
    let desired = seen.functions.iter().map(|f| u64::from(f.desired)).max();
    if desired.unwrap_or(0) > rest {
        return state(
            FALSE,
            "ScalerCooldown",
            "there is no work; the cooldown is running",
        );
    }
    state(FALSE, "ScalerNotActive", "there is no work")
}

fn fallback(metrics: &[Metric<'_>]) -> State {
    let state = |status, reason, message: &str| State::new("Fallback", status, reason, message);
    match metrics.iter().any(|m| m.is_fallback) {
        true => state(
            TRUE,
            "FallbackExists",
            "a source is silent: the fallback holds",
        ),
        false => state(FALSE, "NoFallbackFound", "no fallback is in force"),
    }
}

/// The newest time of work, where it is to be written.
pub(super) fn last_active(old: &Value, seen: &Observation<'_>, is_active: bool) -> Option<String> {
    let newest: Timestamp = seen.functions.iter().filter_map(last).max()?;
    let written = old["lastActiveTime"].as_str().and_then(parse);
    let is_due = written.is_none_or(|written| {
        let ahead = newest.since(written);
        match is_active {
            true => ahead >= ACTIVE_STEP,
            false => ahead >= Duration::from_secs(1),
        }
    });
    is_due.then(|| rfc3339(newest))
}

fn last(function: &FunctionStatus) -> Option<Timestamp> {
    function.last_active
}
