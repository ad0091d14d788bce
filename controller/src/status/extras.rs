//! Conditions beyond KEDA's: what stands in the way, by name.

use serde_json::Value;
use zeron_core::StartFailure;

use super::conditions::{FALSE, State, TRUE, find};
use super::input::Observation;
use crate::projection::{Conflict, ObjectKind, Outcome};

/// Types of these conditions and what they say when nothing stands in the way.
const KINDS: [(&str, &str); 6] = [
    ("HostConflict", FALSE),
    ("ForeignScaler", FALSE),
    ("SecretAccess", TRUE),
    ("Push", TRUE),
    ("WritesBlocked", FALSE),
    ("MeshCompatibility", FALSE),
];

/// What stands in the way now; and of what once did, that it no longer does.
pub(super) fn states(old: &Value, seen: &Observation<'_>) -> Vec<State> {
    let mut states: Vec<State> = [
        conflict(&seen.report.outcome),
        secrets(seen),
        push(seen),
        writes(seen),
        mesh(seen),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (kind, good) in KINDS {
        let is_said = states.iter().any(|s| s.kind == kind);
        if !is_said && find(old, kind).is_some() {
            states.push(State::new(
                kind,
                good,
                "Resolved",
                "nothing stands in the way",
            ));
        }
    }
    states
}

fn conflict(outcome: &Outcome) -> Option<State> {
    let Outcome::Conflict(conflict) = outcome else {
        return None;
    };
    let (kind, reason) = match conflict {
        Conflict::Host { .. } => ("HostConflict", "HostTaken"),
        Conflict::CatchAll => ("HostConflict", "CatchAllNotAllowed"),
        Conflict::ForeignHpa { .. } | Conflict::KedaHpa { .. } => {
            ("ForeignScaler", "HorizontalPodAutoscaler")
        }
        Conflict::Unmanaged { .. } => ("ForeignScaler", "NotManaged"),
        Conflict::Older { .. } | Conflict::Replaced { .. } => return None,
    };
    Some(State::new(kind, TRUE, reason, in_words(conflict)))
}

/// A conflict in a sentence.
pub fn in_words(conflict: &Conflict) -> String {
    match conflict {
        Conflict::Host { host, owner } => {
            format!("host {host} belongs to {owner}, which is older or of another namespace")
        }
        Conflict::CatchAll => {
            "it takes every request, which its namespace may not: name hosts".to_owned()
        }
        Conflict::ForeignHpa { name } => format!(
            "HorizontalPodAutoscaler {name} writes the target's replicas: nothing is written while it is there"
        ),
        Conflict::KedaHpa { name } => format!(
            "KEDA's HorizontalPodAutoscaler {name} is still there and writes the target's replicas: `zeron import keda` takes over"
        ),
        Conflict::Unmanaged { owner } => {
            format!("{owner} scales the same target and is not managed here")
        }
        Conflict::Older { owner } => format!("{owner} is older and scales the same target"),
        Conflict::Replaced { owner } => format!("{owner} takes the place of its routes"),
    }
}

/// Names the grant that is missing, never a value.
fn secrets(seen: &Observation<'_>) -> Option<State> {
    if seen.report.denied.is_empty() {
        return None;
    }
    let one = |d: &crate::projection::DeniedSecret| {
        format!(
            "Secret {}/{} may not be read: {}",
            d.namespace, d.name, d.hint
        )
    };
    let mut denied = seen.report.denied.clone();
    denied.sort();
    let text: Vec<String> = denied.iter().map(one).collect();
    Some(State::new(
        "SecretAccess",
        FALSE,
        "Forbidden",
        text.join("; "),
    ))
}

/// Triggers whose sources do not push though they were asked to.
fn push(seen: &Observation<'_>) -> Option<State> {
    let own = seen.report.object.object_ref();
    let triggers = seen.functions.iter().flat_map(|f| &f.triggers);
    let mut told: Vec<String> = triggers
        .filter(|it| it.source == own)
        .filter_map(|it| {
            let trouble = it.push_trouble.as_ref()?;
            Some(format!("trigger {} ({}): {trouble}", it.index, it.kind))
        })
        .collect();
    told.dedup();
    let message = format!("{}; polling goes on", told.join("; "));
    (!told.is_empty()).then(|| State::new("Push", FALSE, "PolledAlone", message))
}

/// The platform makes fewer replicas than were asked for.
fn writes(seen: &Observation<'_>) -> Option<State> {
    let blocked = seen.functions.iter().find_map(|function| {
        let failure = function.failure.as_ref().filter(|f| is_quota(f))?;
        Some((function, failure))
    });
    let (function, failure) = blocked?;
    let made = function.ready.saturating_add(function.starting);
    let message = match seen.report.object.kind {
        ObjectKind::ScaledJob => failure.message.clone(),
        _ => format!(
            "{made} of {} replicas: {}",
            function.desired, failure.message
        ),
    };
    Some(State::new("WritesBlocked", TRUE, "QuotaExceeded", message))
}

fn is_quota(failure: &StartFailure) -> bool {
    failure.message.contains("exceeded quota")
}

fn mesh(seen: &Observation<'_>) -> Option<State> {
    let message = "a mesh refuses the pods' addresses: requests go to the Service's address, and replicas are chosen by it";
    let state = State::new("MeshCompatibility", TRUE, "ServiceAddress", message);
    seen.is_through_service.then_some(state)
}
