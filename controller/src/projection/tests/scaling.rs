//! ScaledObjects, HTTPScaledObjects and their targets.

use std::sync::Arc;

use serde_json::json;
use zeron_backend_kubernetes::TargetPort;
use zeron_core::FunctionId;
use zeron_core::policy::{MetricType, Scaling, TriggerSource, Writer};

use super::world::*;
use crate::projection::{ObjectKey, ObjectKind, Outcome};

#[test]
fn http_and_kafka_on_one_deployment_are_one_function() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        scaled("so", "w"),
        http("h", "w", "w.example.com"),
    ]);
    assert_eq!(world.applied(), ["default/Deployment/w"]);
    let declared = world.declared("w");
    let sources: Vec<_> = world
        .groups("w")
        .iter()
        .map(|g| g.source.to_string())
        .collect();
    assert_eq!(
        sources,
        ["ScaledObject default/so", "HTTPScaledObject default/h"]
    );
    assert_eq!(declared.function.scale.writer, Writer::Zeron);
    assert!(declared.is_wake_allowed);
    assert_eq!(declared.wake_count, 1);
    assert_eq!(declared.target.port, TargetPort::Name("web".into()));
    assert_eq!(declared.target.replicas, Some(0));
    assert_eq!(declared.target.uid.as_deref(), Some("Deployment-w"));
    assert_eq!(*world.so(), Outcome::Ok);
    assert_eq!(
        *world.outcome(ObjectKind::HttpScaledObject, "h"),
        Outcome::Ok
    );
    assert_eq!(world.routes().routes.len(), 1);
}

#[test]
fn objects_may_come_in_any_order() {
    let all = || {
        [
            deployment("w"),
            service("w", "w"),
            scaled("so", "w"),
            interceptor("r", "w", "r.example.com"),
            http("h", "w", "h.example.com"),
        ]
    };
    let mut expected = World::new();
    expected.put(all());
    for first in 0..all().len() {
        let mut world = World::new();
        let mut objects = all();
        objects.rotate_left(first);
        for object in objects {
            world.put([object]);
        }
        assert_eq!(world.function("w"), expected.function("w"));
        assert_eq!(world.routes().routes, expected.routes().routes);
    }
}

#[test]
fn a_deployment_that_nobody_names_is_no_function() {
    let mut world = World::new();
    world.put([deployment("w"), service("w", "w")]);
    assert!(world.last.is_empty());
}

#[test]
fn deleting_one_object_only_takes_its_triggers_away() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        scaled("so", "w"),
        http("h", "w", "h.example.com"),
    ]);
    world.delete([scaled("so", "w")]);
    assert_eq!(world.groups("w").len(), 1);
    assert_eq!(world.last.forgotten, [key_of(&scaled("so", "w"))]);
    world.delete([http("h", "w", "h.example.com")]);
    assert_eq!(world.removed(), ["default/Deployment/w"]);
    assert!(world.routes().routes.is_empty() && world.routes().functions.is_empty());
}

#[test]
fn an_object_that_is_being_deleted_does_not_scale_any_more() {
    let mut world = World::new();
    world.put([deployment("w"), scaled("so", "w")]);
    let going = with(
        scaled("so", "w"),
        "metadata/deletionTimestamp",
        "2026-01-06T00:00:00Z",
    );
    world.put([going]);
    assert_eq!(world.removed(), ["default/Deployment/w"]);
}

#[test]
fn targets_of_any_kind_have_their_own_ids() {
    let mut world = World::new();
    let on = |name: &str, api_version: &str, kind: &str| {
        let reference = json!({ "apiVersion": api_version, "kind": kind, "name": "w" });
        with(scaled(name, "w"), "spec/scaleTargetRef", reference)
    };
    let mut rollout = workload("argoproj.io/v1alpha1", "Rollout", "w");
    rollout["spec"]["size"] = json!(4);
    rollout["status"] = json!({ "selector": "app=w,tier in (web)" });
    world.put([
        workload("apps/v1", "StatefulSet", "w"),
        deployment("w"),
        rollout,
        on("a", "apps/v1", "StatefulSet"),
        on("b", "argoproj.io/v1alpha1", "Rollout"),
        scaled("c", "w"),
    ]);
    assert_eq!(
        world.applied(),
        [
            "default/Deployment/w",
            "default/Rollout.argoproj.io/w",
            "default/StatefulSet/w"
        ]
    );
    let id = FunctionId::new("default", "Rollout.argoproj.io", "w");
    let target = world.projection.declared(&id).unwrap().target;
    assert_eq!((target.replicas, &*target.plural), (Some(4), "rollouts"));
    assert_eq!(target.selector.to_string(), "app=w,tier=web");
    let kinds: Vec<_> = world
        .projection
        .wanted_kinds()
        .iter()
        .map(|(_, k)| k.as_str())
        .collect();
    assert_eq!(kinds, ["Deployment", "StatefulSet", "Rollout"]);
}

#[test]
fn a_target_without_a_pod_template_can_be_scaled() {
    let mut world = World::new();
    let mut custom = workload("example.com/v1", "Farm", "w");
    custom["spec"] = json!({ "size": 2 });
    custom["status"] = json!({ "selector": "farm=w" });
    let reference = json!({ "apiVersion": "example.com/v1", "kind": "Farm", "name": "w" });
    world.put([
        custom,
        with(scaled("so", "w"), "spec/scaleTargetRef", reference),
    ]);
    let id = FunctionId::new("default", "Farm.example.com", "w");
    let declared = world.projection.declared(&id).unwrap();
    assert_eq!(declared.target.replicas, Some(2));
    assert_eq!(declared.target.port, TargetPort::None);
    assert_eq!(*world.so(), Outcome::Ok);
}

#[test]
fn a_missing_target_is_said_until_it_comes() {
    let mut world = World::new();
    world.put([scaled("so", "w"), http("h", "w", "h.example.com")]);
    let message = "Deployment w does not exist".to_owned();
    assert_eq!(*world.so(), Outcome::TargetMissing { message });
    assert!(world.last.applied.is_empty());
    world.put([deployment("w")]);
    assert_eq!(*world.so(), Outcome::Ok);
    assert_eq!(world.groups("w").len(), 2);
    world.delete([deployment("w")]);
    assert!(matches!(world.so(), Outcome::TargetMissing { .. }));
    assert_eq!(world.removed(), ["default/Deployment/w"]);
}

#[test]
fn a_target_created_again_is_another_function() {
    let mut world = World::new();
    world.put([deployment("w"), scaled("so", "w")]);
    world.put([with(deployment("w"), "metadata/uid", "another")]);
    assert_eq!(world.removed(), ["default/Deployment/w"]);
    assert_eq!(world.applied(), ["default/Deployment/w"]);
    assert_eq!(world.declared("w").target.uid.as_deref(), Some("another"));
}

#[test]
fn a_new_count_changes_the_target_and_nothing_else() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        scaled("so", "w"),
        http("h", "w", "h.example.com"),
    ]);
    let before = world.function("w");
    world.put([with(deployment("w"), "spec/replicas", 3)]);
    assert_eq!(world.last.applied.len(), 1);
    assert!(Arc::ptr_eq(&world.last.applied[0].function, &before));
    assert_eq!(world.last.applied[0].target.replicas, Some(3));
    assert!(world.last.routes.is_none() && world.last.reports.is_empty());
}

#[test]
fn a_version_that_changes_nothing_says_nothing() {
    let mut world = World::new();
    let all = || {
        [
            deployment("w"),
            service("w", "w"),
            scaled("so", "w"),
            http("h", "w", "h.example.com"),
        ]
    };
    world.put(all());
    world.put(all());
    assert!(world.last.is_empty());
    let touched = with(scaled("so", "w"), "status", json!({ "conditions": [] }));
    world.put([touched]);
    assert!(world.last.is_empty());
}

#[test]
fn the_last_activity_of_the_status_is_evidence() {
    let mut world = World::new();
    let active = |minute: u32| {
        let time = format!("2026-01-06T00:{minute:02}:00Z");
        with(
            scaled("so", "w"),
            "status",
            json!({ "lastActiveTime": time }),
        )
    };
    world.put([deployment("w"), active(1)]);
    let first = world.declared("w").last_active.unwrap();
    world.put([active(2)]);
    assert!(world.last.is_empty(), "it is written every few seconds");
    assert_eq!(
        world
            .declared("w")
            .last_active
            .unwrap()
            .since(first)
            .as_secs(),
        60
    );
}

#[test]
fn variables_of_the_target_reach_its_triggers() {
    let mut world = World::new();
    let trigger = json!([{ "type": "kafka", "metadata": { "topicFromEnv": "TOPIC", "groupFromEnv": "GROUP" } }]);
    world.put([
        deployment("w"),
        triggered("so", "w", trigger),
        config_map("settings", "group", "g1"),
    ]);
    let spec = world.spec("w");
    assert_eq!(
        (
            spec.metadata["topic"].as_str(),
            spec.metadata["group"].as_str()
        ),
        ("orders", "g1")
    );
    let wanted: Vec<_> = world
        .projection
        .references()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        wanted,
        ["ConfigMap default/settings"],
        "no other value is asked for"
    );
}

#[test]
fn env_from_is_read_only_for_variables_that_stand_nowhere_else() {
    let mut world = World::new();
    let trigger = json!([{ "type": "kafka", "metadata": { "topic": "t", "userFromEnv": "USER" } }]);
    world.put([
        deployment("w"),
        triggered("so", "w", trigger),
        secret("more", "USER", "root"),
        config_map("all", "OTHER", "x"),
    ]);
    assert_eq!(world.spec("w").metadata["user"], "root");
    assert!(world.spec("w").from_environment.contains("user"));
    let shown = format!(
        "{:?} {}",
        world.declared("w"),
        json!(world.function("w").scale)
    );
    assert!(shown.contains("user") && !shown.contains("root"), "{shown}");
    let mut wanted: Vec<_> = world
        .projection
        .references()
        .map(ToString::to_string)
        .collect();
    wanted.sort();
    assert_eq!(wanted, ["ConfigMap default/all", "Secret default/more"]);
}

#[test]
fn a_rotated_secret_changes_its_triggers() {
    let mut world = World::new();
    let trigger = json!([{ "type": "kafka", "metadata": { "topic": "t" }, "authenticationRef": { "name": "auth" } }]);
    let auth = json!({ "secretTargetRef": [{ "parameter": "password", "name": "credentials", "key": "password" }] });
    world.put([
        deployment("w"),
        triggered("so", "w", trigger),
        authentication("auth", auth),
        secret("credentials", "password", "old"),
    ]);
    assert_eq!(world.spec("w").auth["password"].expose(), "old");
    world.put([secret("credentials", "password", "new")]);
    assert_eq!(world.applied(), ["default/Deployment/w"]);
    assert_eq!(world.spec("w").auth["password"].expose(), "new");
    assert!(!format!("{:?}", world.projection).contains("new"));
}

#[test]
fn cpu_triggers_say_whose_they_are_and_whether_they_are_alone() {
    let mut world = World::new();
    let cpu = json!({ "type": "cpu", "metricType": "Utilization", "metadata": { "value": "50" } });
    let kafka = json!({ "type": "kafka", "metadata": { "topic": "t" } });
    world.put([deployment("w"), triggered("so", "w", json!([cpu, kafka]))]);
    let spec = world.spec("w");
    assert_eq!(spec.metadata["zeron.dev/function"], "default/Deployment/w");
    assert_eq!(spec.metadata["zeron.dev/metricType"], "Utilization");
    assert_eq!(spec.metadata["zeron.dev/alone"], "false");
    assert_eq!(world.groups("w")[0].min, 0);
    world.put([triggered("so", "w", json!([cpu]))]);
    assert_eq!(world.spec("w").metadata["zeron.dev/alone"], "true");
    assert_eq!(world.groups("w")[0].min, 1, "alone it never goes to zero");
    let old = json!([{ "type": "memory", "metadata": { "type": "AverageValue", "value": "1Gi" } }]);
    world.put([triggered("so", "w", old)]);
    let Scaling::Metric(metric) = &world.groups("w")[0].scaling else {
        panic!("not metric")
    };
    assert_eq!(metric.triggers[0].metric_type, MetricType::AverageValue);
    world.put([triggered(
        "so",
        "w",
        json!([{ "type": "cpu", "metadata": { "value": "50" } }]),
    )]);
    assert!(matches!(
        world.so(),
        Outcome::Invalid {
            is_previous_in_force: true,
            ..
        }
    ));
}

#[test]
fn a_trigger_that_names_an_http_object_is_our_own() {
    let mut world = World::new();
    let push = |field: &str, name: &str| json!([{ "type": "external-push", "metadata": { "scalerAddress": "x:9090", field: name } }]);
    world.put([
        deployment("w"),
        service("w", "w"),
        interceptor("r", "w", "r.example.com"),
        triggered("so", "w", push("interceptorRoute", "r")),
    ]);
    let group = world.groups("w").remove(0);
    let Scaling::Metric(metric) = &group.scaling else {
        panic!("not metric")
    };
    assert!(
        matches!(metric.triggers[0].source, TriggerSource::Http(t) if t.concurrency == Some(3.0))
    );
    assert!(world.declared("w").is_wake_allowed);
    world.put([
        http("h", "w", "h.example.com"),
        triggered("so", "w", push("httpScaledObject", "h")),
    ]);
    assert_eq!(world.groups("w").len(), 1, "it does not scale twice");
}

#[test]
fn an_interceptor_route_alone_routes_and_does_not_scale() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        interceptor("r", "w", "r.example.com"),
    ]);
    let declared = world.declared("w");
    assert_eq!(declared.function.scale.writer, Writer::External);
    assert!(!declared.is_wake_allowed);
    assert_eq!(
        *world.outcome(ObjectKind::InterceptorRoute, "r"),
        Outcome::Ok
    );
    assert_eq!(world.routes().routes.len(), 1);
}

#[test]
fn a_function_that_is_scaled_elsewhere_holds_its_requests_and_is_never_written() {
    let mut world = World::new();
    let external = |object| annotated(object, "zeron.dev/scaling", "external");
    let is_held = |world: &World| {
        let declared = world.declared("w");
        assert_eq!(declared.function.scale.writer, Writer::External);
        assert_eq!(declared.wake_count, 0, "waking is telling");
        declared.is_wake_allowed
    };
    world.put([
        deployment("w"),
        service("w", "w"),
        external(interceptor("r", "w", "r.example.com")),
    ]);
    assert!(is_held(&world));
    // Whom nobody scales, nobody waits for.
    world.put([interceptor("r", "w", "r.example.com")]);
    assert!(!is_held(&world));
    // With triggers of its own: counted, and not written.
    world.put([external(http("h", "w", "h.example.com"))]);
    assert!(is_held(&world));
    let paused = annotated(scaled("so", "w"), "autoscaling.keda.sh/paused", "true");
    world.put([paused]);
    assert!(!is_held(&world));
}

#[test]
fn a_status_is_kept_for_its_writer_and_changes_nothing_else() {
    let mut world = World::with(|options| options.keeps_status = true);
    world.put([deployment("w"), scaled("so", "w")]);
    let mut written = scaled("so", "w");
    written["status"] = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    world.put([written.clone()]);
    assert_eq!(world.applied(), Vec::<String>::new(), "nothing to do again");
    let key = ObjectKey::new(ObjectKind::ScaledObject, "default", "so");
    let kept = world.projection.object(&key).unwrap();
    assert_eq!(kept["status"], written["status"]);
}

#[test]
fn reports_follow_the_generation() {
    let mut world = World::new();
    world.put([deployment("w"), scaled("so", "w")]);
    world.put([with(scaled("so", "w"), "metadata/generation", 2)]);
    let generations: Vec<_> = world.last.reports.iter().map(|r| r.generation).collect();
    assert_eq!(generations, [2]);
    assert!(world.last.applied.is_empty());
    let key = ObjectKey::new(ObjectKind::ScaledObject, "default", "so");
    assert_eq!(
        world.projection.object(&key).unwrap()["spec"]["maxReplicaCount"],
        10
    );
}
