//! Services, InterceptorRoutes and where they lead.

use std::time::Duration;

use serde_json::json;
use zeron_backend_kubernetes::TargetPort;
use zeron_core::function::Protocol;
use zeron_core::policy::{Scaling, Writer};
use zeron_core::route::{HostPattern, RouteAction};

use super::world::*;
use crate::projection::{ObjectKind, Outcome};

const ROUTE: ObjectKind = ObjectKind::InterceptorRoute;

#[test]
fn a_route_follows_the_selector_of_its_service() {
    let mut world = World::new();
    world.put([
        deployment("a"),
        deployment("b"),
        interceptor("r", "svc", "r.example.com"),
    ]);
    let missing = |message: &str| Outcome::TargetMissing {
        message: message.to_owned(),
    };
    assert_eq!(
        *world.outcome(ROUTE, "r"),
        missing("Service default/svc does not exist")
    );
    world.put([service("svc", "a")]);
    assert_eq!(world.applied(), ["default/Deployment/a"]);
    world.put([service("svc", "b")]);
    assert_eq!(world.applied(), ["default/Deployment/b"]);
    assert_eq!(world.removed(), ["default/Deployment/a"]);
    assert_eq!(world.routes().routes.len(), 1);
    world.put([service("svc", "c")]);
    assert_eq!(
        *world.outcome(ROUTE, "r"),
        missing("Service default/svc selects nothing that can be scaled")
    );
    assert!(world.routes().routes.is_empty());
}

#[test]
fn where_there_is_no_service_its_name_means_the_deployment() {
    let mut world = World::new();
    world.put([deployment("w"), interceptor("r", "w", "r.example.com")]);
    assert_eq!(*world.outcome(ROUTE, "r"), Outcome::Ok);
    assert_eq!(world.routes().routes.len(), 1);
}

#[test]
fn of_several_deployments_behind_a_service_the_one_counts_that_names_the_route() {
    let mut world = World::new();
    let shared = |name: &str| with(deployment(name), "spec/template/metadata/labels/app", "w");
    world.put([shared("stable"), shared("canary"), service("svc", "w")]);
    world.put([interceptor("r", "svc", "r.example.com")]);
    assert!(matches!(world.outcome(ROUTE, "r"), Outcome::Invalid { .. }));
    let push = json!([{ "type": "external-push", "metadata": { "scalerAddress": "x", "interceptorRoute": "r" } }]);
    world.put([triggered("so", "stable", push)]);
    assert_eq!(*world.outcome(ROUTE, "r"), Outcome::Ok);
    assert_eq!(world.applied(), ["default/Deployment/stable"]);
}

#[test]
fn the_pods_of_a_route_are_reached_where_the_service_says() {
    let mut world = World::new();
    let port = |port: serde_json::Value| with(service("w", "w"), "spec/ports", json!([port]));
    world.put([deployment("w"), http("h", "w", "h.example.com")]);
    for (given, expected) in [
        (
            json!({ "port": 80, "targetPort": 9000 }),
            TargetPort::Number(9000.try_into().unwrap()),
        ),
        (
            json!({ "port": 80, "targetPort": "web" }),
            TargetPort::Name("web".into()),
        ),
        (
            json!({ "port": 80 }),
            TargetPort::Number(80.try_into().unwrap()),
        ),
    ] {
        world.put([port(given)]);
        assert_eq!(world.declared("w").target.port, expected);
    }
    world.put([port(
        json!({ "port": 80, "appProtocol": "kubernetes.io/h2c" }),
    )]);
    assert_eq!(world.function("w").protocol, Protocol::H2c);
}

#[test]
fn a_fallback_is_a_function_that_nobody_scales() {
    let mut world = World::new();
    let failover = with(
        http("h", "w", "h.example.com"),
        "spec/coldStartTimeoutFailoverRef",
        json!({ "service": "spare", "port": 80, "timeoutSeconds": 4 }),
    );
    world.put([
        deployment("w"),
        service("w", "w"),
        deployment("spare"),
        service("spare", "spare"),
        failover,
    ]);
    assert_eq!(
        world.applied(),
        ["default/Deployment/w", "default/Deployment/spare"]
    );
    let spare = world.declared("spare");
    assert_eq!(spare.function.scale.writer, Writer::External);
    assert_eq!(spare.target.port, TargetPort::Name("web".into()));
    assert_eq!(
        world.function("w").admission.max_wait,
        Duration::from_secs(4)
    );
    let RouteAction::Forward(forward) = &world.routes().routes[0].action else {
        panic!("no forward")
    };
    assert_eq!(forward.fallback.as_ref().map(|f| f.name()), Some("spare"));
    world.put([http("h", "w", "h.example.com")]);
    assert_eq!(world.removed(), ["default/Deployment/spare"]);
}

#[test]
fn a_body_comes_from_a_config_map_and_its_absence_is_an_error_of_the_server() {
    let mut world = World::new();
    let placeholder = json!({ "placeholder": { "response": { "bodyFromConfigMap": { "name": "page", "key": "k" } } } });
    let route = with(
        interceptor("r", "w", "r.example.com"),
        "spec/coldStart",
        placeholder,
    );
    world.put([deployment("w"), service("w", "w"), route]);
    let shown = |world: &World| match &world.routes().routes[0].action {
        RouteAction::Forward(forward) => forward.placeholder.clone().unwrap(),
        RouteAction::Respond(_) => panic!("no forward"),
    };
    assert_eq!(shown(&world).status, 500);
    assert_eq!(world.report(ROUTE, "r").partial.len(), 1);
    world.put([config_map("page", "k", "wait")]);
    assert_eq!(
        (shown(&world).status, shown(&world).body.as_str()),
        (503, "wait")
    );
    assert!(world.report(ROUTE, "r").partial.is_empty());
}

fn opted(mut object: serde_json::Value, ports: &str) -> serde_json::Value {
    let selector = object["spec"]["selector"].take();
    object["spec"].as_object_mut().unwrap().remove("selector");
    let object = annotated(object, "zeron.dev/activator", "true");
    let object = annotated(object, "zeron.dev/activator-ports", ports);
    annotated(object, "zeron.dev/selector", &selector.to_string())
}

#[test]
fn a_service_that_has_opted_in_is_a_port_of_the_data_plane() {
    let mut world = World::new();
    world.put([deployment("w"), opted(service("w", "w"), "80=20000")]);
    let route = &world.routes().routes[0];
    assert_eq!(
        (route.port.unwrap().get(), &route.hosts[..]),
        (20_000, &[HostPattern::Any][..])
    );
    assert_eq!(world.function("w").scale.writer, Writer::External);
    assert!(!world.declared("w").is_wake_allowed, "nothing scales it");
    world.put([scaled("so", "w")]);
    let groups = world.groups("w");
    assert_eq!(groups.len(), 2);
    assert!(
        matches!(&groups[1].scaling, Scaling::Http(http) if http.cooldown == Duration::from_secs(300))
    );
    assert!(world.declared("w").is_wake_allowed);
    world.put([http("h", "w", "h.example.com")]);
    assert_eq!(world.groups("w").len(), 2, "requests are counted once");
}

#[test]
fn ports_of_a_service_that_lead_elsewhere_are_not_taken() {
    let mut world = World::new();
    let two = with(
        service("w", "w"),
        "spec/ports",
        json!([{ "name": "a", "port": 80, "targetPort": "web" }, { "name": "b", "port": 81, "targetPort": 99 }]),
    );
    world.put([deployment("w"), opted(two, "80=20000,81=20001")]);
    assert_eq!(world.routes().routes.len(), 1);
}
