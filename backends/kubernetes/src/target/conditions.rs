//! What a workload's own conditions say about replicas that do not start.

use serde_json::Value;
use zeron_core::{StartFailure, Timestamp};

/// Reads `status.conditions` of a Deployment (or of a kind that has the same conditions):
/// `ReplicaFailure=True` (a quota or an admission plug-in refused pods) and `Progressing=False`
/// (the progress deadline is over).
///
/// A pod that was refused by name (`forbidden`: a quota, a policy, a missing service account) is
/// final: none will appear while that lasts. Another error of its creation may pass, and after a
/// missed deadline pods may still become ready. The words are the API server's own.
pub fn failure_of_status(status: &Value) -> Option<StartFailure> {
    let conditions = status.get("conditions")?.as_array()?;
    let find = |kind: &str, value: &str| {
        conditions.iter().find(|condition| {
            condition.get("type").and_then(Value::as_str) == Some(kind)
                && condition.get("status").and_then(Value::as_str) == Some(value)
        })
    };
    let (condition, is_final) = match find("ReplicaFailure", "True") {
        Some(refused) => (refused, is_forbidden(refused)),
        None => (find("Progressing", "False")?, false),
    };
    let text = |field: &str| condition.get(field).and_then(Value::as_str);
    let reason = text("reason").filter(|reason| !reason.is_empty());
    Some(StartFailure {
        reason: reason.unwrap_or("ReplicaFailure").to_owned(),
        message: text("message").unwrap_or_default().to_owned(),
        at: text("lastTransitionTime")
            .and_then(parse_time)
            .unwrap_or_default(),
        retry_at: None,
        is_final,
    })
}

fn is_forbidden(condition: &Value) -> bool {
    let message = condition.get("message").and_then(Value::as_str);
    message.is_some_and(|message| message.contains("forbidden"))
}

/// RFC 3339, as the API writes times.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond())
        .ok()
        .map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_quota_is_named_in_the_servers_words() {
        let failure = failure_of_status(&json!({"conditions": [
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetCreated"},
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
             "message": "pods \"a\" is forbidden: exceeded quota: seven",
             "lastTransitionTime": "2026-01-02T03:04:05Z"},
        ]}))
        .unwrap();
        assert_eq!(failure.reason, "FailedCreate");
        assert!(failure.message.contains("exceeded quota"));
        assert!(failure.is_final);
        assert_eq!(failure.at, Timestamp::from_secs(1_767_323_045));
    }

    #[test]
    fn a_missed_progress_deadline_is_said_but_not_final() {
        let failure = failure_of_status(&json!({"conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
             "message": "ReplicaSet \"a\" has timed out progressing."},
        ]}))
        .unwrap();
        assert_eq!(failure.reason, "ProgressDeadlineExceeded");
        assert!(!failure.is_final);
    }

    #[test]
    fn a_healthy_status_says_nothing() {
        assert!(failure_of_status(&json!({})).is_none());
        assert!(
            failure_of_status(&json!({"conditions": [
                {"type": "Available", "status": "True"},
                {"type": "ReplicaFailure", "status": "False"},
            ]}))
            .is_none()
        );
    }
}
