//! Finalizers as the originals have them: put on what is ours, taken away when it is deleted.
//!
//! Only ScaledObjects and HTTPScaledObjects are given one: nothing is left to do when another kind
//! is deleted. One that KEDA left on another kind of ours is taken away all the same, or its
//! deletion would never end.

mod patch;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;
use zeron_core::Timestamp;

use crate::projection::ObjectKind;

pub use patch::{added, removed};

/// On objects of keda.sh.
pub const KEDA: &str = "finalizer.keda.sh";
/// On HTTPScaledObjects.
pub const HTTP: &str = "httpscaledobject.http.keda.sh";

/// How long restoring the replicas of before is tried, from the deletion on. A deletion always
/// ends.
pub const RESTORE_LIMIT: Duration = Duration::from_secs(30);

/// What to do with an object's finalizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Put it on.
    Add,
    /// The object is being deleted: do what is left to do, then take it away.
    Finish(Option<Restore>),
}

/// Replicas that a target gets back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The target's path, without `/scale`.
    pub path: String,
    /// How many.
    pub replicas: u32,
}

/// The finalizer of a kind.
pub fn name(kind: &ObjectKind) -> Option<&'static str> {
    match kind {
        ObjectKind::ScaledObject
        | ObjectKind::ScaledJob
        | ObjectKind::TriggerAuthentication
        | ObjectKind::ClusterTriggerAuthentication => Some(KEDA),
        ObjectKind::HttpScaledObject => Some(HTTP),
        _ => None,
    }
}

/// What to do with the finalizer of `object`. Nothing with one that is not ours.
pub fn step(kind: &ObjectKind, object: &Value, is_ours: bool) -> Step {
    let Some(name) = name(kind).filter(|_| is_ours) else {
        return Step::Nothing;
    };
    let has = patch::position(object, name).is_some();
    let is_deleting = object["metadata"]["deletionTimestamp"].is_string();
    let is_given = matches!(
        kind,
        ObjectKind::ScaledObject | ObjectKind::HttpScaledObject
    );
    match (is_deleting, has) {
        (true, true) => Step::Finish(restore(kind, object)),
        (false, false) if is_given => Step::Add,
        _ => Step::Nothing,
    }
}

/// Whether restoring has been tried for long enough.
pub fn is_over(object: &Value, now: Timestamp) -> bool {
    let since = object["metadata"]["deletionTimestamp"].as_str();
    let since = since.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let since = since.and_then(|at| u64::try_from(at.as_microsecond()).ok());
    since.is_none_or(|at| now.since(Timestamp::from_micros(at)) >= RESTORE_LIMIT)
}

fn restore(kind: &ObjectKind, object: &Value) -> Option<Restore> {
    let wants = object["spec"]["advanced"]["restoreToOriginalReplicaCount"] == true;
    if *kind != ObjectKind::ScaledObject || !wants {
        return None;
    }
    let status = &object["status"];
    let replicas = u32::try_from(status["originalReplicaCount"].as_u64()?).ok()?;
    let target = &status["scaleTargetGVKR"];
    let (group, version) = (target["group"].as_str()?, target["version"].as_str()?);
    let root = match group.is_empty() {
        true => format!("/api/{version}"),
        false => format!("/apis/{group}/{version}"),
    };
    let (namespace, resource) = (
        object["metadata"]["namespace"].as_str()?,
        target["resource"].as_str()?,
    );
    let name = object["spec"]["scaleTargetRef"]["name"].as_str()?;
    Some(Restore {
        path: format!("{root}/namespaces/{namespace}/{resource}/{name}"),
        replicas,
    })
}
