//! The Service that is the way to a function's replicas where a mesh refuses their own addresses.

use serde_json::{Value, json};

use super::world::*;
use crate::projection::{MeshMode, ObjectKind, Outcome};

#[test]
fn the_service_of_a_function_is_its_way_where_a_mesh_refuses_its_pods() {
    let way = |world: &World| world.declared("w").service.map(|it| it.to_string());
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        http("h", "w", "w.example.com"),
    ]);
    assert_eq!(way(&world).as_deref(), Some("10.96.3.4:80"));
    assert_eq!(world.declared("w").mesh, None);
    world.put([with(service("w", "w"), "spec/clusterIP", "10.96.3.5")]);
    assert_eq!(way(&world).as_deref(), Some("10.96.3.5:80"));
    assert_eq!(world.applied(), ["default/Deployment/w"]);
    world.put([with(service("w", "w"), "spec/clusterIP", "None")]);
    assert_eq!(way(&world), None, "a headless one has no address");
    let opted = annotated(service("w", "w"), "zeron.dev/activator", "true");
    world.put([opted]);
    assert_eq!(way(&world), None, "it leads to us");
}

#[test]
fn the_way_is_the_port_that_requests_name() {
    let mut world = World::new();
    let ports = json!([
        { "name": "metrics", "port": 9090 },
        { "name": "dns", "port": 8080, "protocol": "UDP" },
        { "name": "http", "port": 8080, "targetPort": "web" },
    ]);
    let by_name = with(
        interceptor("r", "w", "w.example.com"),
        "spec/target/portName",
        "http",
    );
    let mut by_name = with(by_name, "spec/target/port", json!(null));
    by_name["spec"]["target"]
        .as_object_mut()
        .unwrap()
        .remove("port");
    world.put([
        deployment("w"),
        with(service("w", "w"), "spec/ports", ports),
        by_name,
    ]);
    let way = world.declared("w").service.unwrap();
    assert_eq!(way.to_string(), "10.96.3.4:8080");
}

#[test]
fn what_objects_say_of_a_mesh_is_joined_and_checked() {
    const KEY: &str = "zeron.dev/mesh-compatibility-mode";
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        annotated(scaled("so", "w"), KEY, "disabled"),
        annotated(http("h", "w", "w.example.com"), KEY, "enabled"),
    ]);
    assert_eq!(world.declared("w").mesh, Some(MeshMode::Enabled));
    world.put([annotated(http("h", "w", "w.example.com"), KEY, "auto")]);
    assert_eq!(world.declared("w").mesh, Some(MeshMode::Auto));
    world.put([annotated(scaled("so", "w"), KEY, "sometimes")]);
    let Outcome::Invalid { problems, .. } = world.so() else {
        panic!("{:?}", world.so())
    };
    assert!(
        problems[0].contains("disabled, enabled or auto"),
        "{problems:?}"
    );
}

/// `service` as the controller leaves it when its callers come to the activators.
fn led(service: Value) -> Value {
    let mut led = annotated(service, "zeron.dev/activator", "true");
    let selector = led["spec"]["selector"].take();
    let led = annotated(led, "zeron.dev/selector", &selector.to_string());
    let led = annotated(led, "zeron.dev/activator-ports", "80=20000");
    annotated(led, "zeron.dev/activator-status", "Active")
}

#[test]
fn a_service_that_leads_to_activators_is_the_address_of_its_objects() {
    let address = |world: &World, kind, name| world.report(kind, name).address.clone();
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        http("h", "w", "h.example.com"),
        interceptor("r", "w", "r.example.com"),
    ]);
    let (http, route) = (ObjectKind::HttpScaledObject, ObjectKind::InterceptorRoute);
    assert_eq!(address(&world, http.clone(), "h"), None);
    world.put([led(service("w", "w"))]);
    for (kind, name) in [(http.clone(), "h"), (route, "r")] {
        let found = address(&world, kind, name);
        assert_eq!(found.as_deref(), Some("http://w.default.svc"), "{name}");
    }
    world.put([service("w", "w")]);
    assert_eq!(address(&world, http, "h"), None);
}

#[test]
fn a_service_that_has_opted_in_is_no_address_before_activators_are_behind_it() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        http("h", "w", "h.example.com"),
    ]);
    let mut address = |service: Value| {
        world.put([service]);
        let report = world.report(ObjectKind::HttpScaledObject, "h");
        report.address.clone()
    };
    let opted = annotated(service("w", "w"), "zeron.dev/activator", "true");
    assert_eq!(address(opted.clone()), None, "nobody has led it yet");
    let refused = annotated(opted, "zeron.dev/activator-status", "Refused: port 80");
    assert_eq!(address(refused), None);
    let whole = led(service("w", "w"));
    let begun = annotated(whole.clone(), "zeron.dev/activator-status", "");
    assert_eq!(address(begun), None, "slices of its pods may be there");
    assert!(address(whole.clone()).is_some());
    // On its way back the selector comes first, and the mark goes last.
    let back = with(whole, "spec/selector", json!({ "app": "w" }));
    assert_eq!(address(back), None);
}
