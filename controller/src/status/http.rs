//! The statuses of HTTPScaledObject and InterceptorRoute.

use serde_json::{Value, json};

use super::conditions::{self, FALSE, State, TRUE};
use super::extras;
use super::input::Observation;
use super::scaled_object::fault;
use crate::projection::{Conflict, Outcome};

pub(super) fn scaled_object(object: &Value, seen: &Observation<'_>) -> Value {
    let target = &object["spec"]["scaleTargetRef"];
    let text = |name: &str, default: &str| {
        let found = target[name].as_str().filter(|t| !t.is_empty());
        found.unwrap_or(default).to_owned()
    };
    let name = text("name", &text("deployment", ""));
    let workload = format!(
        "{}/{}/{name}",
        text("apiVersion", "apps/v1"),
        text("kind", "Deployment")
    );
    let port = match target["port"].as_i64() {
        Some(port) => port.to_string(),
        None => text("portName", ""),
    };
    json!({
        "targetWorkload": workload,
        "targetService": format!("{}:{port}", text("service", &name)),
        "conditions": conditions(object, seen, "it routes and scales"),
    })
}

pub(super) fn interceptor_route(object: &Value, seen: &Observation<'_>) -> Value {
    json!({ "conditions": conditions(object, seen, "it routes") })
}

fn conditions(object: &Value, seen: &Observation<'_>, works: &str) -> Value {
    let old = &object["status"]["conditions"];
    let mut states = vec![ready(seen, works)];
    states.extend(extras::states(old, seen));
    conditions::standard(old, &states, seen.report.generation, seen.now)
}

fn ready(seen: &Observation<'_>, works: &str) -> State {
    let reason = match &seen.report.outcome {
        Outcome::TargetMissing { .. } => "TargetMissing",
        Outcome::Conflict(Conflict::Host { .. } | Conflict::CatchAll) => "HostConflict",
        Outcome::Conflict(_) => "Conflict",
        _ => "CheckFailed",
    };
    if let Some((reason, message)) = fault(&seen.report.outcome, reason) {
        return State::new("Ready", FALSE, reason, message);
    }
    if let Some(failure) = seen.functions.iter().find_map(|f| f.failure.as_ref()) {
        return State::new("Ready", FALSE, &failure.reason, failure.message.as_str());
    }
    if !seen.report.partial.is_empty() {
        return State::new(
            "Ready",
            FALSE,
            "PartlyInForce",
            seen.report.partial.join("; "),
        );
    }
    State::new("Ready", TRUE, "Reconciled", works)
}
