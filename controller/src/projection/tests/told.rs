//! What reports say beside how an object fares.

use serde_json::json;

use super::world::*;
use crate::projection::{ObjectKind, Outcome};

#[test]
fn an_authentication_is_told_who_uses_it() {
    const AUTHENTICATION: ObjectKind = ObjectKind::TriggerAuthentication;
    let users = |world: &World| -> Vec<String> {
        let used_by = &world.report(AUTHENTICATION, "auth").used_by;
        used_by.iter().map(|key| key.name.to_string()).collect()
    };
    let trigger = json!([{ "type": "kafka", "metadata": { "topic": "t" }, "authenticationRef": { "name": "auth" } }]);
    let mut world = World::new();
    world.put([
        deployment("w"),
        triggered("so", "w", trigger.clone()),
        authentication("auth", json!({})),
        authentication("spare", json!({})),
    ]);
    assert_eq!(users(&world), ["so"]);
    assert!(world.report(AUTHENTICATION, "spare").used_by.is_empty());
    world.put([
        triggered("without-target", "none", trigger.clone()),
        with(job("batch"), "spec/triggers", trigger),
    ]);
    assert_eq!(users(&world), ["so", "without-target", "batch"]);
    world.put([scaled("so", "w")]);
    world.delete([job("batch")]);
    assert_eq!(users(&world), ["without-target"]);
}

#[test]
fn who_sees_some_namespaces_does_not_speak_of_credentials_of_the_cluster() {
    let shared = || {
        let mut object = authentication("shared", json!({}));
        object["kind"] = json!("ClusterTriggerAuthentication");
        object["metadata"]["namespace"] = json!(null);
        object
    };
    let outcome = |world: &World| {
        let kind = ObjectKind::ClusterTriggerAuthentication;
        world.report_in("", kind, "shared").outcome.clone()
    };
    let mut world = World::new();
    world.put([shared()]);
    assert_eq!(outcome(&world), Outcome::Ok);
    let mut some = World::with(|options| options.sees_all_namespaces = false);
    some.put([shared()]);
    assert_eq!(outcome(&some), Outcome::NotManaged);
}

#[test]
fn the_count_of_before_is_that_before_anything_was_scaled() {
    let original = |world: &World| {
        let report = world.report(ObjectKind::ScaledObject, "so");
        report.original_replicas
    };
    let count = |replicas: u32| with(deployment("w"), "spec/replicas", replicas);
    let mut world = World::new();
    world.put([scaled("so", "w")]);
    assert_eq!(original(&world), None, "there is no target");
    world.put([count(3)]);
    assert_eq!(original(&world), Some(3));
    world.put([count(7)]);
    world.put([with(scaled("so", "w"), "spec/maxReplicaCount", 9)]);
    assert_eq!(original(&world), Some(3), "it was scaled since");
    let mut after_keda = World::new();
    let written = with(
        scaled("so", "w"),
        "status",
        json!({ "originalReplicaCount": 1 }),
    );
    after_keda.put([written, count(7)]);
    assert_eq!(original(&after_keda), Some(1), "it is written");
    let mut foreign = World::labelled();
    foreign.put([scaled("so", "w"), count(3)]);
    assert_eq!(original(&foreign), None, "not ours");
}
