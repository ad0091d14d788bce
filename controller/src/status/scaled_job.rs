//! The status of a ScaledJob, with KEDA's names and reasons.

use serde_json::{Value, json};

use super::conditions::{self, FALSE, State, TRUE, UNKNOWN};
use super::extras;
use super::input::Observation;
use super::metrics::{self, Metric};
use super::scaled_object::{Pause, fault, last_active, names};

pub(super) fn status(object: &Value, seen: &Observation<'_>) -> Value {
    let (spec, old) = (&object["spec"], &object["status"]);
    let metrics = metrics::external(spec, seen);
    let (types, authentications) = metrics::types(spec);
    let pause = Pause::of_job(object);
    let is_active = metrics.iter().any(|metric| metric.is_active);
    let mut states = vec![
        ready(seen, &metrics),
        active(seen, &metrics, is_active),
        pause.state("ScaledJob"),
    ];
    states.extend(extras::states(&old["conditions"], seen));
    let mut status = json!({
        "conditions": conditions::keda(&old["conditions"], &states, &[]),
        "externalMetricNames": names(&metrics),
        "triggersActivity": metrics::activity(&metrics),
        "triggersTypes": types,
        "authenticationsTypes": authentications,
        "Paused": pause.is_paused().to_string(),
    });
    if let Some(time) = last_active(old, seen, is_active) {
        status["lastActiveTime"] = json!(time);
    }
    status
}

fn ready(seen: &Observation<'_>, metrics: &[Metric<'_>]) -> State {
    let state =
        |status, reason: &str, message: String| State::new("Ready", status, reason, message);
    if let Some((reason, message)) = fault(&seen.report.outcome, "ScaledJobCheckFailed") {
        return state(FALSE, reason, message);
    }
    if let Some(failure) = seen.functions.iter().find_map(|f| f.failure.as_ref()) {
        return state(FALSE, &failure.reason, failure.message.clone());
    }
    let silent: Vec<&str> = metrics
        .iter()
        .filter(|metric| metric.is_silent)
        .map(|metric| metric.name.as_str())
        .collect();
    let mut faults = seen.report.partial.clone();
    if !silent.is_empty() {
        let names = silent.join(", ");
        faults.push(format!("no value of {names}, which asks for no Jobs"));
    }
    let is_none_left = !metrics.is_empty() && silent.len() == metrics.len();
    match (faults.is_empty(), is_none_left) {
        (true, _) => state(TRUE, "ScaledJobReady", "it is in force".to_owned()),
        (false, true) => state(FALSE, "TriggerError", faults.join("; ")),
        (false, false) => state(UNKNOWN, "PartialTriggerError", faults.join("; ")),
    }
}

fn active(seen: &Observation<'_>, metrics: &[Metric<'_>], is_active: bool) -> State {
    let state = |status, reason, message: &str| State::new("Active", status, reason, message);
    if fault(&seen.report.outcome, "").is_some() || seen.functions.is_empty() {
        return state(UNKNOWN, "UnknownState", "it is not in force");
    }
    if is_active {
        return state(TRUE, "ScalerActive", "there is work");
    }
    if metrics.iter().any(|metric| metric.is_silent) {
        let message = "a source does not say whether there is work";
        return state(UNKNOWN, "UnknownState", message);
    }
    state(FALSE, "ScalerNotActive", "there is no work")
}
