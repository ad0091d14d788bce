//! When there is a child, and what it says.
#![allow(clippy::unwrap_used)]

use super::*;

const ADDRESS: &str = "keda-add-ons-http-external-scaler.keda:9090";

fn parent() -> Value {
    json!({
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "p1",
            "labels": {"team": "a"},
            "annotations": {
                "note": "x",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
            },
        },
        "spec": {
            "scaleTargetRef": {"name": "web-app", "service": "web", "port": 80},
            "replicas": {"min": 1, "max": 5},
            "scaledownPeriod": 60,
        },
    })
}

/// The child as the API server keeps it.
fn child() -> Value {
    let mut child = desired(&parent(), ADDRESS);
    child["metadata"]["uid"] = json!("c1");
    child["metadata"]["annotations"]["added"] = json!("by somebody");
    child["status"] = json!({"conditions": []});
    child
}

fn with(mut parent: Value, annotation: &str) -> Value {
    parent["metadata"]["annotations"][annotation] = json!("true");
    parent
}

#[test]
fn a_target_without_a_scaled_object_gets_one_with_the_originals_values() {
    let Step::Apply(child) = step(&parent(), &[], ADDRESS) else {
        panic!("no child");
    };
    assert_eq!(child["metadata"]["name"], "web");
    assert_eq!(child["metadata"]["labels"], json!({"team": "a"}));
    assert_eq!(child["metadata"]["annotations"], json!({"note": "x"}));
    assert_eq!(child["metadata"]["ownerReferences"][0]["uid"], "p1");
    assert_eq!(child["metadata"]["ownerReferences"][0]["controller"], true);
    assert_eq!(
        child["spec"],
        json!({
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web-app"},
            "pollingInterval": 15,
            "cooldownPeriod": 60,
            "minReplicaCount": 1,
            "maxReplicaCount": 5,
            "advanced": {"restoreToOriginalReplicaCount": true},
            "triggers": [{
                "type": "external-push",
                "metadata": {"scalerAddress": ADDRESS, "httpScaledObject": "web"},
            }],
        })
    );
}

#[test]
fn a_child_that_is_right_is_left_alone() {
    assert_eq!(step(&parent(), &[&child()], ADDRESS), Step::Nothing);
}

#[test]
fn a_change_of_the_parent_reaches_the_child() {
    let mut changed = parent();
    changed["spec"]["replicas"]["max"] = json!(9);
    let Step::Apply(applied) = step(&changed, &[&child()], ADDRESS) else {
        panic!("not applied");
    };
    assert_eq!(applied["spec"]["maxReplicaCount"], 9);
}

#[test]
fn what_the_parent_does_not_say_any_more_leaves_the_child() {
    let mut child = child();
    child["metadata"]["managedFields"] = json!([{
        "manager": "zeron", "operation": "Apply",
        "fieldsV1": {
            "f:metadata": {"f:labels": {"f:team": {}}},
            "f:spec": {"f:cooldownPeriod": {}, "f:maxReplicaCount": {}},
        },
    }]);
    assert_eq!(step(&parent(), &[&child], ADDRESS), Step::Nothing);
    let mut shorter = parent();
    shorter["spec"]
        .as_object_mut()
        .unwrap()
        .remove("scaledownPeriod");
    let Step::Apply(applied) = step(&shorter, &[&child], ADDRESS) else {
        panic!("not applied");
    };
    assert!(applied["spec"].get("cooldownPeriod").is_none());
}

#[test]
fn a_target_that_has_its_own_scaled_object_gets_none_and_a_child_makes_way() {
    let mut own = child();
    own["metadata"] = json!({"name": "mine", "uid": "o1"});
    assert_eq!(step(&parent(), &[&own], ADDRESS), Step::Nothing);
    let gone = Step::Delete {
        uid: "c1".to_owned(),
    };
    assert_eq!(step(&parent(), &[&own, &child()], ADDRESS), gone);
    own["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    assert!(matches!(step(&parent(), &[&own], ADDRESS), Step::Apply(_)));
}

#[test]
fn the_skip_annotation_deletes_the_child_and_makes_none() {
    let parent = with(parent(), SKIP);
    assert_eq!(step(&parent, &[], ADDRESS), Step::Nothing);
    assert_eq!(
        step(&parent, &[&child()], ADDRESS),
        Step::Delete {
            uid: "c1".to_owned()
        }
    );
}

#[test]
fn the_orphan_annotation_lets_the_child_go_and_nothing_more() {
    let parent = with(parent(), ORPHAN);
    assert_eq!(
        step(&parent, &[&child()], ADDRESS),
        Step::LetGo { owners: json!([]) }
    );
    let mut free = child();
    free["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(step(&parent, &[&free], ADDRESS), Step::Nothing);
    let mut deleting = parent;
    deleting["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    assert_eq!(step(&deleting, &[&free], ADDRESS), Step::Nothing);
}

#[test]
fn a_deleted_parent_takes_its_child_along_but_nobody_elses() {
    let mut parent = parent();
    parent["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    assert_eq!(
        step(&parent, &[&child()], ADDRESS),
        Step::Delete {
            uid: "c1".to_owned()
        }
    );
    let mut foreign = child();
    foreign["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(step(&parent, &[&foreign], ADDRESS), Step::Nothing);
}

#[test]
fn a_child_without_an_owner_is_adopted_when_it_was_made_for_the_parent() {
    let mut child = child();
    child["metadata"]["ownerReferences"] = json!([]);
    assert!(matches!(
        step(&parent(), &[&child], ADDRESS),
        Step::Apply(_)
    ));
    // With triggers of its own it is somebody's ScaledObject on the same target.
    let more = json!({"type": "kafka", "metadata": {}});
    child["spec"]["triggers"].as_array_mut().unwrap().push(more);
    assert_eq!(step(&parent(), &[&child], ADDRESS), Step::Nothing);
}

#[test]
fn a_scaled_object_of_the_same_name_for_something_else_is_not_overwritten() {
    let mut other = child();
    other["metadata"]["ownerReferences"] = json!([]);
    other["spec"]["scaleTargetRef"]["name"] = json!("something");
    assert!(matches!(
        step(&parent(), &[&other], ADDRESS),
        Step::Refused { .. }
    ));
}

#[test]
fn the_old_field_names_the_target_too() {
    let mut old = parent();
    old["spec"]["scaleTargetRef"] = json!({"deployment": "web-app", "service": "web", "port": 80});
    assert_eq!(
        desired(&old, ADDRESS)["spec"]["scaleTargetRef"]["name"],
        "web-app"
    );
}
