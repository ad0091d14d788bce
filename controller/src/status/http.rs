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
    let spec = &object["spec"];
    let rule = Rule {
        hosts: &spec["hosts"],
        path: &spec["pathPrefixes"][0],
        headers: &spec["headers"],
    };
    json!({
        "address": address(seen, &[rule]),
        "targetWorkload": workload,
        "targetService": format!("{}:{port}", text("service", &name)),
        "conditions": conditions(object, seen, "it routes and scales"),
    })
}

pub(super) fn interceptor_route(object: &Value, seen: &Observation<'_>) -> Value {
    let rules = object["spec"]["rules"].as_array();
    let rules = rules.into_iter().flatten().map(|rule| Rule {
        hosts: &rule["hosts"],
        path: &rule["paths"][0]["value"],
        headers: &rule["headers"],
    });
    json!({
        "address": address(seen, &rules.collect::<Vec<_>>()),
        "conditions": conditions(object, seen, "it routes"),
    })
}

/// Which requests are routed to the object.
struct Rule<'o> {
    hosts: &'o Value,
    /// The first of its prefixes.
    path: &'o Value,
    headers: &'o Value,
}

/// `status.address` of an Addressable (`duck.knative.dev`): what eventing sends to. The Service's name where
/// that leads to activators, else the first whole host that is routed without headers of its own;
/// null where there is neither, or the object is not in force.
fn address(seen: &Observation<'_>, rules: &[Rule<'_>]) -> Value {
    let is_in_force = seen.report.outcome == Outcome::Ok;
    let service = seen.report.address.clone();
    let url = service.or_else(|| rules.iter().find_map(Rule::url));
    match url.filter(|_| is_in_force) {
        Some(url) => json!({ "url": url }),
        None => Value::Null,
    }
}

impl Rule<'_> {
    fn url(&self) -> Option<String> {
        let needs_headers = self.headers.as_array().is_some_and(|all| !all.is_empty());
        let hosts = self.hosts.as_array()?.iter().filter_map(Value::as_str);
        let host = { hosts }.find(|host| !host.is_empty() && !host.contains('*'))?;
        let path = self.path.as_str().filter(|path| *path != "/").unwrap_or("");
        (!needs_headers).then(|| format!("http://{host}{path}"))
    }
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
