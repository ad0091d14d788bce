//! Who is given a finalizer, and what happens at the end.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn scaled_object() -> Value {
    json!({
        "metadata": {"name": "orders", "namespace": "shop", "resourceVersion": "7"},
        "spec": {
            "scaleTargetRef": {"name": "web"},
            "advanced": {"restoreToOriginalReplicaCount": true},
        },
        "status": {
            "originalReplicaCount": 3,
            "scaleTargetGVKR": {"group": "apps", "version": "v1", "kind": "Deployment", "resource": "deployments"},
        },
    })
}

fn deleted() -> Value {
    let mut object = scaled_object();
    object["metadata"]["finalizers"] = json!(["other", KEDA]);
    object["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    object
}

#[test]
fn ours_is_given_one_and_only_once() {
    let mut object = scaled_object();
    assert_eq!(step(&ObjectKind::ScaledObject, &object, true), Step::Add);
    let patch = added(&object, KEDA);
    assert_eq!(patch[1]["value"], json!([KEDA]));
    assert_eq!(patch[0]["value"], "7");
    object["metadata"]["finalizers"] = json!([KEDA]);
    assert_eq!(
        step(&ObjectKind::ScaledObject, &object, true),
        Step::Nothing
    );
}

#[test]
fn what_keda_owns_is_never_touched() {
    assert_eq!(
        step(&ObjectKind::ScaledObject, &scaled_object(), false),
        Step::Nothing
    );
    assert_eq!(
        step(&ObjectKind::ScaledObject, &deleted(), false),
        Step::Nothing
    );
}

#[test]
fn a_deletion_restores_the_replicas_of_before() {
    let restore = Restore {
        path: "/apis/apps/v1/namespaces/shop/deployments/web".to_owned(),
        replicas: 3,
    };
    assert_eq!(
        step(&ObjectKind::ScaledObject, &deleted(), true),
        Step::Finish(Some(restore))
    );
    let mut unknown = deleted();
    unknown["status"] = json!({});
    assert_eq!(
        step(&ObjectKind::ScaledObject, &unknown, true),
        Step::Finish(None)
    );
    let mut unwanted = deleted();
    unwanted["spec"]["advanced"] = json!({});
    assert_eq!(
        step(&ObjectKind::ScaledObject, &unwanted, true),
        Step::Finish(None)
    );
}

#[test]
fn a_finalizer_that_keda_left_on_another_kind_of_ours_goes_on_deletion_only() {
    let kind = ObjectKind::TriggerAuthentication;
    let mut object = json!({"metadata": {"name": "a", "finalizers": [KEDA]}});
    assert_eq!(step(&kind, &object, true), Step::Nothing);
    object["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    assert_eq!(step(&kind, &object, true), Step::Finish(None));
    assert_eq!(step(&kind, &json!({"metadata": {}}), true), Step::Nothing);
    assert_eq!(
        step(&ObjectKind::InterceptorRoute, &object, true),
        Step::Nothing
    );
}

#[test]
fn only_our_own_entry_is_removed_and_only_where_it_was_seen() {
    let patch = removed(&deleted(), KEDA).unwrap();
    assert_eq!(
        patch,
        json!([
            {"op": "test", "path": "/metadata/finalizers/1", "value": KEDA},
            {"op": "remove", "path": "/metadata/finalizers/1"},
        ])
    );
    assert_eq!(removed(&scaled_object(), KEDA), None);
}

#[test]
fn restoring_is_given_up_after_a_while() {
    let deleted_at = Timestamp::from_secs(1_800_000_000);
    assert!(!is_over(&deleted(), deleted_at + Duration::from_secs(5)));
    assert!(is_over(&deleted(), deleted_at + RESTORE_LIMIT));
}
