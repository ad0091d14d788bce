//! Whose an object is.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::is_ours;

#[test]
fn everything_is_ours_unless_it_was_given_back() {
    assert!(is_ours(&json!({"metadata": {}}), false));
    for value in ["true", "pending"] {
        let back = json!({"metadata": {"annotations": {"zeron.dev/handed-back": value}}});
        assert!(!is_ours(&back, false));
    }
}

#[test]
fn beside_a_live_keda_only_labelled_and_adopted_objects_are_ours() {
    assert!(!is_ours(&json!({"metadata": {}}), true));
    let labelled = json!({"metadata": {"labels": {"zeron.dev/manage": "true"}}});
    assert!(is_ours(&labelled, true));
    let adopted = json!({"metadata": {"annotations": {"zeron.dev/adopted-from": "keda"}}});
    assert!(is_ours(&adopted, true));
}
