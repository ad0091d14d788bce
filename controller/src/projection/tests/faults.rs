//! What breaks rules, what is missing, what is gone: and that nothing else suffers.

use serde_json::json;

use super::world::*;
use crate::projection::{ObjectKind, Outcome, ResolvedOnly};
use zeron_core::ScalerRegistry;

fn broken(name: &str, target: &str) -> serde_json::Value {
    triggered(
        name,
        target,
        json!([{ "type": "kafka", "metadata": { "lagThreshold": "5" } }]),
    )
}

#[test]
fn an_object_that_becomes_invalid_keeps_its_last_good_version() {
    let mut world = World::new();
    world.put([deployment("w"), scaled("so", "w")]);
    let before = world.function("w");
    world.put([broken("so", "w")]);
    let problems = vec!["spec.triggers[0].metadata.topic: is missing".to_owned()];
    let is_previous_in_force = true;
    assert_eq!(
        *world.so(),
        Outcome::Invalid {
            problems,
            is_previous_in_force
        }
    );
    assert_eq!(world.function("w"), before);
    world.put([with(broken("so", "w"), "spec/maxReplicaCount", 3)]);
    assert_eq!(world.function("w"), before, "twice in a row, too");
    world.put([with(scaled("so", "w"), "spec/maxReplicaCount", 4)]);
    assert_eq!(*world.so(), Outcome::Ok);
    assert_eq!(world.groups("w")[0].max, Some(4));
}

#[test]
fn an_object_that_never_was_valid_takes_nothing_with_it() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        broken("so", "w"),
        http("h", "w", "h.example.com"),
    ]);
    assert!(matches!(
        world.so(),
        Outcome::Invalid {
            is_previous_in_force: false,
            ..
        }
    ));
    assert_eq!(
        *world.outcome(ObjectKind::HttpScaledObject, "h"),
        Outcome::Ok
    );
    assert_eq!(world.groups("w").len(), 1);
    assert_eq!(world.routes().routes.len(), 1);
}

#[test]
fn a_version_that_does_not_say_what_it_scales_leaves_what_is_in_force() {
    let mut world = World::new();
    world.put([deployment("w"), scaled("so", "w")]);
    world.put([with(scaled("so", "w"), "spec/scaleTargetRef", json!({}))]);
    assert!(matches!(
        world.so(),
        Outcome::Invalid {
            is_previous_in_force: true,
            ..
        }
    ));
    assert_eq!(world.groups("w").len(), 1);
}

#[test]
fn a_thousand_invalid_objects_do_not_hurt_the_valid_one() {
    let mut world = World::new();
    let broken = (0..1_000).flat_map(|i| {
        let name = format!("b{i}");
        [
            deployment(&name),
            broken(&name, &name),
            http(&name, &name, "shop.example.com"),
        ]
    });
    let valid = [
        deployment("w"),
        service("w", "w"),
        scaled("so", "w"),
        aged(http("h", "w", "shop.example.com"), 1),
    ];
    world.put(broken.chain(valid));
    assert_eq!(*world.so(), Outcome::Ok);
    assert_eq!(world.groups("w").len(), 2);
    let sources: Vec<_> = world
        .routes()
        .routes
        .iter()
        .map(|r| r.source.name.as_str())
        .collect();
    assert_eq!(sources, ["h"]);
    world.put([with(scaled("so", "w"), "spec/maxReplicaCount", 3)]);
    assert_eq!(world.applied(), ["default/Deployment/w"]);
    assert_eq!(world.last.reports.len(), 0);
}

#[test]
fn triggers_that_are_not_built_in_leave_the_object_alone() {
    let mut world = World::new();
    let rabbit = json!([
        { "type": "kafka", "metadata": { "topic": "t" } },
        { "type": "rabbitmq", "metadata": { "queueName": "q" } },
    ]);
    world.put([deployment("w"), triggered("so", "w", rabbit)]);
    assert_eq!(
        *world.so(),
        Outcome::NotBuiltIn {
            types: vec!["rabbitmq".to_owned()]
        }
    );
    assert!(world.groups("w").is_empty());
}

#[test]
fn a_missing_reference_makes_its_trigger_unknown_and_leaves_the_others() {
    let mut world = World::new();
    let triggers = json!([
        { "type": "kafka", "metadata": { "topic": "t" }, "authenticationRef": { "name": "auth" } },
        { "type": "kafka", "metadata": { "topic": "u" } },
    ]);
    world.put([deployment("w"), triggered("so", "w", triggers)]);
    assert_eq!(*world.so(), Outcome::Ok);
    let partial = &world.report(ObjectKind::ScaledObject, "so").partial;
    assert_eq!(
        partial[..],
        ["spec.triggers[0].authenticationRef: TriggerAuthentication auth does not exist"]
    );
    let registry = ResolvedOnly(std::sync::Arc::new(FakeScalers));
    let refused = registry.bind(&world.spec("w")).unwrap_err();
    assert_eq!(refused.message, "TriggerAuthentication auth does not exist");
    let auth = json!({ "secretTargetRef": [{ "parameter": "password", "name": "credentials", "key": "password" }] });
    world.put([authentication("auth", auth)]);
    let partial = &world.report(ObjectKind::ScaledObject, "so").partial;
    assert_eq!(
        partial[..],
        [
            "TriggerAuthentication default/auth: spec.secretTargetRef[0]: Secret default/credentials does not exist"
        ]
    );
    world.put([secret("credentials", "password", "x")]);
    assert!(
        world
            .report(ObjectKind::ScaledObject, "so")
            .partial
            .is_empty()
    );
}

#[test]
fn a_secret_that_may_not_be_read_names_the_grant() {
    let mut world = World::new();
    let trigger =
        json!([{ "type": "kafka", "metadata": { "topic": "t", "passwordFromEnv": "PASSWORD" } }]);
    world.put([deployment("w"), triggered("so", "w", trigger)]);
    world
        .projection
        .deny("default", "credentials", "zeron grant default");
    world.take();
    let report = world.report(ObjectKind::ScaledObject, "so");
    assert_eq!(report.outcome, Outcome::Ok);
    assert_eq!(report.denied[0].hint, "zeron grant default");
    assert_eq!(report.partial.len(), 1);
    world.put([secret("credentials", "password", "x")]);
    assert_eq!(world.spec("w").metadata["password"], "x");
    assert!(
        world
            .report(ObjectKind::ScaledObject, "so")
            .denied
            .is_empty()
    );
}

#[test]
fn an_http_object_that_is_gone_is_unknown_and_not_zero() {
    let mut world = World::new();
    let push = json!([{ "type": "external-push", "metadata": { "scalerAddress": "x", "interceptorRoute": "r" } }]);
    world.put([
        deployment("w"),
        service("w", "w"),
        interceptor("r", "w", "r.example.com"),
        triggered("so", "w", push),
    ]);
    world.delete([interceptor("r", "w", "r.example.com")]);
    assert!(
        world
            .spec("w")
            .metadata
            .contains_key("zeron.dev/unresolved")
    );
    assert_eq!(
        world.report(ObjectKind::ScaledObject, "so").partial.len(),
        1
    );
}

#[test]
fn a_namespace_that_goes_leaves_nothing_behind() {
    let mut world = World::new();
    let all = || {
        let auth = json!({ "secretTargetRef": [{ "parameter": "p", "name": "credentials", "key": "password" }] });
        let trigger = json!([{ "type": "kafka", "metadata": { "topic": "t" }, "authenticationRef": { "name": "auth" } }]);
        [
            deployment("w"),
            service("w", "w"),
            triggered("so", "w", trigger),
            authentication("auth", auth),
            secret("credentials", "password", "x"),
            http("h", "w", "h.example.com"),
            interceptor("r", "w", "r.example.com"),
            autoscaler("a", "other"),
        ]
    };
    world.put(all());
    for object in all() {
        world.delete([object]);
    }
    assert_eq!(world.projection.to_string(), "0 objects, 0 functions");
    assert_eq!(world.projection.references().count(), 0);
    assert!(world.routes().functions.is_empty());
    world.put(all());
    assert_eq!(*world.so(), Outcome::Ok);
}

#[test]
fn objects_that_are_no_objects_are_passed_over() {
    let mut world = World::new();
    assert!(
        world
            .projection
            .upsert(&ObjectKind::Service, json!({ "metadata": { "name": "x" } }))
            .is_err()
    );
    assert!(
        world
            .projection
            .upsert(&ObjectKind::Service, json!([]))
            .is_err()
    );
    let odd = json!({ "metadata": { "name": "x", "namespace": "default" }, "spec": [1] });
    for kind in [
        ObjectKind::Service,
        ObjectKind::ScaledObject,
        ObjectKind::HttpScaledObject,
        ObjectKind::InterceptorRoute,
        kind_of(&deployment("x")),
        ObjectKind::Secret,
    ] {
        assert!(world.projection.upsert(&kind, odd.clone()).is_ok());
        world.take();
    }
}
