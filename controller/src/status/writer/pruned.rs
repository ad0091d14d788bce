//! Fields that the API server does not keep: the schema of a kind is another's, who has none of them.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::projection::ObjectKind;

/// The schema may be another one after this time.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Fields of statuses that were written and are not there, by kind. As many as our statuses have.
#[derive(Debug, Default)]
pub(super) struct Pruned(HashMap<(ObjectKind, String), Instant>);

impl Pruned {
    /// The patch without what is not kept; `None`: nothing is left of it.
    pub(super) fn strip(&mut self, kind: &ObjectKind, patch: Value, now: Instant) -> Option<Value> {
        self.0
            .retain(|_, since| now.duration_since(*since) < REMEMBERED);
        let Value::Object(mut whole) = patch else {
            return Some(patch);
        };
        let Some(Value::Object(status)) = whole.get_mut("status") else {
            return Some(Value::Object(whole));
        };
        status.retain(|field, _| !self.0.contains_key(&(kind.clone(), field.clone())));
        (!status.is_empty()).then_some(Value::Object(whole))
    }

    /// Learns from what is stored after `patch` was applied.
    pub(super) fn learn(&mut self, kind: &ObjectKind, patch: &Value, stored: &Value, now: Instant) {
        let sent = patch.get("status").and_then(Value::as_object);
        for (field, value) in sent.into_iter().flatten() {
            if !value.is_null() && stored.get(field).is_none() {
                self.0.insert((kind.clone(), field.clone()), now);
            }
        }
    }
}
