//! Conditions of Knative's objects: set, kept, and summed up in `Ready`.

use serde::{Deserialize, Serialize};
use zeron_core::Timestamp;

use super::time;

/// The condition that sums up the others.
pub(super) const READY: &str = "Ready";

/// One condition of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its name, such as `Ready`.
    pub r#type: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// `Info` where it does not count for `Ready`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// When anything else of it changed.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    /// One CamelCase word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known, or not yet.
    #[serde(other)]
    Unknown,
}

/// What a condition says, apart from when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Says<'a> {
    pub(super) status: ConditionStatus,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

impl<'a> Says<'a> {
    /// It says nothing beside its status.
    pub(super) fn only(status: ConditionStatus) -> Self {
        Self {
            status,
            reason: "",
            message: "",
        }
    }

    pub(super) fn unknown(reason: &'a str, message: &'a str) -> Self {
        Self {
            status: ConditionStatus::Unknown,
            reason,
            message,
        }
    }

    pub(super) fn no(reason: &'a str, message: &'a str) -> Self {
        Self {
            status: ConditionStatus::False,
            reason,
            message,
        }
    }
}

impl Condition {
    pub(super) fn says(&self) -> Says<'_> {
        Says {
            status: self.status,
            reason: &self.reason,
            message: &self.message,
        }
    }
}

/// The condition of this name.
pub(super) fn find<'c>(conditions: &'c [Condition], name: &str) -> Option<&'c Condition> {
    conditions.iter().find(|c| c.r#type == name)
}

/// Sets a condition. It keeps its time unless it says something else now; conditions are in the
/// order of their names.
pub(super) fn set(conditions: &mut Vec<Condition>, name: &str, says: Says<'_>, now: Timestamp) {
    let old = conditions.iter_mut().find(|c| c.r#type == name);
    if old.as_ref().is_some_and(|old| old.says() == says) {
        return;
    }
    let new = Condition {
        r#type: name.to_owned(),
        status: says.status,
        severity: String::new(),
        last_transition_time: Some(now),
        reason: says.reason.to_owned(),
        message: says.message.to_owned(),
    };
    match old {
        Some(old) => *old = new,
        None => {
            let at = conditions.partition_point(|c| *c.r#type < *name);
            conditions.insert(at, new);
        }
    }
}
