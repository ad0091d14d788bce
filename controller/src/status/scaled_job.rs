//! The status of a ScaledJob: stored and checked, not run yet.

use serde_json::{Value, json};

use super::conditions::{self, FALSE, State, UNKNOWN};
use super::input::Observation;
use super::metrics;
use super::scaled_object::{Pause, fault};

pub(super) fn status(object: &Value, seen: &Observation<'_>) -> Value {
    let (types, authentications) = metrics::types(&object["spec"]);
    let (reason, message) = fault(&seen.report.outcome, "ScaledJobCheckFailed").unwrap_or((
        "NotRunYet",
        "it is stored and checked; Jobs are not run yet".to_owned(),
    ));
    let states = [
        State::new("Ready", FALSE, reason, message),
        State::new("Active", UNKNOWN, "UnknownState", "Jobs are not run yet"),
        Pause::of(object).state("ScaledJob"),
    ];
    json!({
        "conditions": conditions::keda(&object["status"]["conditions"], &states, &[]),
        "triggersTypes": types,
        "authenticationsTypes": authentications,
    })
}
