//! Which fields the API server keeps: the schema of a kind may be another's, who has not all of ours.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::projection::ObjectKind;

/// The schema may be another one after this time.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Fields of statuses that were sent, by kind: whether they were there afterwards, and when. As many
/// as our statuses have.
#[derive(Debug, Default)]
pub(super) struct Pruned(HashMap<(ObjectKind, String), (bool, Instant)>);

impl Pruned {
    /// The patch without what is not kept; `None`: nothing is left of it.
    pub(super) fn strip(&mut self, kind: &ObjectKind, patch: Value, now: Instant) -> Option<Value> {
        self.0
            .retain(|_, (is_kept, since)| *is_kept || now.duration_since(*since) < REMEMBERED);
        let Value::Object(mut whole) = patch else {
            return Some(patch);
        };
        let Some(Value::Object(status)) = whole.get_mut("status") else {
            return Some(Value::Object(whole));
        };
        status.retain(|field, _| self.is_kept(kind, field) != Some(false));
        (!status.is_empty()).then_some(Value::Object(whole))
    }

    /// Whether the patch may change nothing: of none of its fields it is known that it is kept. What
    /// is to be taken away is there, so it is.
    pub(super) fn is_doubtful(&self, kind: &ObjectKind, patch: &Value) -> bool {
        let is_unknown = |(field, value): (&String, &Value)| {
            !value.is_null() && self.is_kept(kind, field).is_none()
        };
        status(patch).is_some_and(|fields| fields.iter().all(is_unknown))
    }

    /// Learns from what is stored, or would be, after `patch` was applied.
    pub(super) fn learn(&mut self, kind: &ObjectKind, patch: &Value, stored: &Value, now: Instant) {
        for (field, value) in status(patch).into_iter().flatten() {
            if !value.is_null() {
                let is_kept = stored.get(field).is_some();
                self.0.insert((kind.clone(), field.clone()), (is_kept, now));
            }
        }
    }

    fn is_kept(&self, kind: &ObjectKind, field: &str) -> Option<bool> {
        let known = self.0.get(&(kind.clone(), field.to_owned()));
        known.map(|(is_kept, _)| *is_kept)
    }
}

fn status(patch: &Value) -> Option<&Map<String, Value>> {
    patch.get("status").and_then(Value::as_object)
}
