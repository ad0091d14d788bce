//! What `kubectl get` shows: the status of each declared object, and the writing of it.
//!
//! Statuses are pure functions of the object, how it fares and what its functions do
//! ([`patch`]). They give only what changed, so that an object at rest is never written. The
//! [`StatusWriter`] sends them, at most one per object and second.
//!
//! `lastActiveTime` moves at most every 15 s while there is work, and exactly once more when there
//! is none left.

mod authentication;
mod conditions;
mod extras;
mod http;
mod input;
mod merge;
mod metrics;
mod scaled_job;
mod scaled_object;
mod writer;

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::projection::{ObjectKind, Outcome};

pub use extras::in_words;
pub use input::Observation;
pub use metrics::metric_name;
pub use writer::{StatusError, StatusWriter, StatusWriterOptions, WriteStatus, WriterCounters};

/// The merge patch of the object's status; `None`: nothing changed, or it is not ours to write.
///
/// `object` is the object as the API server has it, its status included.
pub fn patch(object: &Value, seen: &Observation<'_>) -> Option<Value> {
    if seen.report.outcome == Outcome::NotManaged {
        return None;
    }
    let wanted = match seen.report.object.kind {
        ObjectKind::ScaledObject => scaled_object::status(object, seen),
        ObjectKind::ScaledJob => scaled_job::status(object, seen),
        ObjectKind::HttpScaledObject => http::scaled_object(object, seen),
        ObjectKind::InterceptorRoute => http::interceptor_route(object, seen),
        ObjectKind::TriggerAuthentication | ObjectKind::ClusterTriggerAuthentication => {
            authentication::status(object, seen)
        }
        _ => return None,
    };
    let old = object.get("status").cloned().unwrap_or(json!({}));
    merge::changed_fields(&old, &wanted).map(|changed| json!({ "status": changed }))
}

/// The object with its status as `patch` makes it: what its events are told from
/// ([`of_status`](crate::events::of_status)).
pub fn patched(mut object: Value, patch: &Value) -> Value {
    merge::apply(&mut object, patch);
    object
}
