//! Who else scales a target, who owns a host, what is not ours.

use zeron_core::policy::Writer;
use zeron_core::route::HostPattern;

use super::world::*;
use crate::projection::{CatchAll, Conflict, KedaLife, Manage, ObjectKey, ObjectKind, Outcome};

const HTTP: ObjectKind = ObjectKind::HttpScaledObject;
const SCALED: ObjectKind = ObjectKind::ScaledObject;

fn labelled(object: serde_json::Value) -> serde_json::Value {
    with(object, "metadata/labels/zeron.dev~1manage", "true")
}

#[test]
fn a_foreign_autoscaler_is_named_and_never_fought() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        scaled("so", "w"),
        autoscaler("theirs", "w"),
    ]);
    let name = "theirs".to_owned();
    assert_eq!(
        *world.so(),
        Outcome::Conflict(Conflict::ForeignHpa { name })
    );
    assert_eq!(world.function("w").scale.writer, Writer::External);
    assert!(!world.declared("w").is_wake_allowed);
    world.delete([autoscaler("theirs", "w")]);
    assert_eq!(*world.so(), Outcome::Ok);
    assert_eq!(world.function("w").scale.writer, Writer::Zeron);
}

#[test]
fn what_keda_left_is_a_conflict_until_the_import_has_deleted_it() {
    let mut world = World::new();
    let left = with(
        autoscaler("keda-hpa-so", "w"),
        "metadata/ownerReferences",
        serde_json::json!([{ "kind": "ScaledObject", "name": "so", "controller": true }]),
    );
    world.put([deployment("w"), scaled("so", "w"), left.clone()]);
    let name = "keda-hpa-so".to_owned();
    assert_eq!(
        *world.so(),
        Outcome::Conflict(Conflict::KedaHpa { name: name.clone() })
    );
    world.put([annotated(
        scaled("so", "w"),
        "zeron.dev/adopted-from",
        "keda",
    )]);
    assert_eq!(*world.so(), Outcome::Conflict(Conflict::KedaHpa { name }));
    assert_eq!(world.function("w").scale.writer, Writer::External);
    world.delete([left]);
    assert_eq!(*world.so(), Outcome::Ok);
    assert_eq!(world.function("w").scale.writer, Writer::Zeron);
}

#[test]
fn a_function_that_is_meant_for_somebody_else_has_no_conflict() {
    let mut world = World::new();
    let meant = annotated(scaled("so", "w"), "zeron.dev/scaling", "external");
    world.put([deployment("w"), meant, autoscaler("theirs", "w")]);
    assert_eq!(*world.so(), Outcome::Ok);
    assert_eq!(world.function("w").scale.writer, Writer::External);
}

#[test]
fn the_older_of_two_scaled_objects_scales() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        aged(scaled("new", "w"), 9),
        aged(scaled("so", "w"), 2),
    ]);
    assert_eq!(*world.so(), Outcome::Ok);
    let owner = ObjectKey::new(SCALED, "default", "so");
    assert_eq!(
        *world.outcome(SCALED, "new"),
        Outcome::Conflict(Conflict::Older { owner })
    );
    assert_eq!(world.groups("w").len(), 1);
    world.delete([scaled("so", "w")]);
    assert_eq!(*world.outcome(SCALED, "new"), Outcome::Ok);
}

#[test]
fn the_older_of_two_http_scaled_objects_scales() {
    let mut world = World::new();
    let pair = [
        aged(http("old", "w", "a.example.com"), 2),
        aged(http("new", "w", "b.example.com"), 3),
    ];
    world.put([deployment("w"), service("w", "w")]).put(pair);
    assert_eq!(*world.outcome(HTTP, "old"), Outcome::Ok);
    assert!(matches!(
        world.outcome(HTTP, "new"),
        Outcome::Conflict(Conflict::Older { .. })
    ));
}

#[test]
fn the_first_namespace_owns_a_host() {
    let mut world = World::new();
    let of = |namespace: &'static str, day: u32| {
        [
            in_namespace(deployment("w"), namespace),
            in_namespace(service("w", "w"), namespace),
            in_namespace(aged(http("h", "w", "shop.example.com"), day), namespace),
        ]
    };
    world.put(of("late", 9));
    assert_eq!(world.report_in("late", HTTP, "h").outcome, Outcome::Ok);
    world.put(of("early", 2));
    let owner = ObjectKey::new(HTTP, "early", "h");
    let host = "shop.example.com".to_owned();
    let lost = Outcome::Conflict(Conflict::Host { host, owner });
    assert_eq!(world.report_in("late", HTTP, "h").outcome, lost);
    assert_eq!(world.routes().routes.len(), 1);
    assert_eq!(world.routes().routes[0].source.namespace, "early");
    assert_eq!(
        world.routes().functions.len(),
        2,
        "it is scaled all the same"
    );
    world.delete(of("early", 2));
    assert_eq!(world.report_in("late", HTTP, "h").outcome, Outcome::Ok);
    assert_eq!(world.routes().routes[0].source.namespace, "late");
}

#[test]
fn a_host_may_have_several_rules_in_its_namespace_and_each_rule_one_object() {
    let mut world = World::new();
    let path = |name: &str, target: &str, day: u32, path: &str| {
        let object = aged(http(name, target, "shop.example.com"), day);
        with(object, "spec/pathPrefixes", serde_json::json!([path]))
    };
    world.put([deployment("a"), deployment("b"), deployment("c")]);
    world.put([
        path("x", "a", 1, "/a"),
        path("y", "b", 2, "/b"),
        path("z", "c", 3, "/a"),
    ]);
    assert_eq!(*world.outcome(HTTP, "y"), Outcome::Ok);
    assert!(
        matches!(world.outcome(HTTP, "z"), Outcome::Conflict(Conflict::Host { owner, .. }) if &*owner.name == "x")
    );
    assert_eq!(world.routes().routes.len(), 2);
}

#[test]
fn catching_all_requests_must_be_allowed() {
    let mut world = World::new();
    world.put([deployment("w"), service("w", "w"), http("h", "w", "*")]);
    assert_eq!(
        *world.outcome(HTTP, "h"),
        Outcome::Conflict(Conflict::CatchAll)
    );
    assert!(world.routes().routes.is_empty());
    let mut world = World::with(|options| options.catch_all = CatchAll::Everybody);
    world.put([deployment("w"), service("w", "w"), http("h", "w", "*")]);
    assert_eq!(*world.outcome(HTTP, "h"), Outcome::Ok);
    assert_eq!(world.routes().routes[0].hosts, [HostPattern::Any]);
}

#[test]
fn an_object_that_is_not_ours_has_no_effect() {
    let mut world = World::labelled();
    world.put([
        deployment("w"),
        service("w", "w"),
        scaled("so", "w"),
        http("h", "w", "h.example.com"),
    ]);
    assert_eq!(*world.so(), Outcome::NotManaged);
    assert!(world.try_declared("w").is_none());
    world.put([labelled(scaled("so", "w"))]);
    assert!(matches!(
        world.so(),
        Outcome::Conflict(Conflict::Unmanaged { .. })
    ));
    world.put([labelled(http("h", "w", "h.example.com"))]);
    assert_eq!(*world.so(), Outcome::Ok);
    assert_eq!(world.function("w").scale.writer, Writer::Zeron);
}

#[test]
fn beside_a_live_keda_only_labelled_objects_are_ours() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        scaled("so", "w"),
        deployment("l"),
        labelled(scaled("ours", "l")),
    ]);
    assert_eq!(*world.so(), Outcome::Ok);
    world.projection.set_keda(KedaLife::Alive);
    world.take();
    assert_eq!(*world.so(), Outcome::NotManaged);
    assert_eq!(world.removed(), ["default/Deployment/w"]);
    assert_eq!(*world.outcome(SCALED, "ours"), Outcome::Ok);
    world.projection.set_keda(KedaLife::LetGo);
    world.take();
    assert_eq!(*world.so(), Outcome::NotManaged, "it may only restart");
    world.projection.set_keda(KedaLife::Gone);
    world.take();
    assert_eq!(*world.so(), Outcome::Ok);
    let mut forced = World::with(|options| options.manage = Manage::All);
    forced.projection.set_keda(KedaLife::Alive);
    forced.put([deployment("w"), scaled("so", "w")]);
    assert_eq!(*forced.so(), Outcome::Ok);
}

#[test]
fn an_object_that_was_handed_back_is_not_ours() {
    let mut world = World::new();
    world.put([deployment("w"), scaled("so", "w")]);
    world.put([annotated(
        scaled("so", "w"),
        "zeron.dev/handed-back",
        "true",
    )]);
    assert_eq!(*world.so(), Outcome::NotManaged);
    assert_eq!(world.removed(), ["default/Deployment/w"]);
}

#[test]
fn an_object_on_its_way_back_is_woken_and_loses_no_replica() {
    let mut world = World::new();
    let back = annotated(
        http("so", "w", "h.example.com"),
        "zeron.dev/handed-back",
        "pending",
    );
    world.put([deployment("w"), service("w", "w"), back]);
    let scale = &world.function("w").scale;
    assert_eq!(scale.writer, Writer::Zeron);
    assert!(scale.pause.scale_in, "nobody counts what interceptors have");
    let declared = world.declared("w");
    assert!(declared.is_wake_allowed);
    assert_eq!(declared.wake_count, 1);
}

#[test]
fn an_object_on_its_way_back_is_kedas_as_soon_as_it_works_and_its_requests_wait() {
    let mut world = World::new();
    let back = annotated(
        http("so", "w", "h.example.com"),
        "zeron.dev/handed-back",
        "pending",
    );
    world.put([
        deployment("w"),
        service("w", "w"),
        annotated(back, "zeron.dev/adopted-from", "keda"),
    ]);
    world.projection.set_keda(KedaLife::Alive);
    world.take();
    assert_eq!(world.function("w").scale.writer, Writer::External);
    let declared = world.declared("w");
    assert!(declared.is_wake_allowed, "they are held");
    assert_eq!(declared.wake_count, 0, "nothing is written");
}

#[test]
fn requests_of_an_adopted_object_wait_while_kedas_autoscaler_is_there() {
    let mut world = World::new();
    let adopted = annotated(
        http("so", "w", "h.example.com"),
        "zeron.dev/adopted-from",
        "keda",
    );
    let kedas = with(
        autoscaler("keda-hpa-so", "w"),
        "metadata/ownerReferences",
        serde_json::json!([{ "kind": "ScaledObject", "name": "so", "controller": true }]),
    );
    world.put([deployment("w"), service("w", "w"), adopted, kedas.clone()]);
    assert_eq!(world.function("w").scale.writer, Writer::External);
    assert!(world.declared("w").is_wake_allowed);
    assert_eq!(world.declared("w").wake_count, 0);
    // What a foreign autoscaler keeps would wait in vain.
    world.delete([kedas]);
    world.put([autoscaler("theirs", "w")]);
    assert!(!world.declared("w").is_wake_allowed);
}

#[test]
fn what_was_taken_over_is_lent_while_keda_is_back() {
    let mut world = World::new();
    let http = annotated(
        http("so", "w", "h.example.com"),
        "zeron.dev/adopted-from",
        "http-add-on",
    );
    world.put([deployment("w"), service("w", "w"), http]);
    assert_eq!(world.function("w").scale.writer, Writer::Zeron);
    world.projection.set_keda(KedaLife::Alive);
    world.take();
    assert_eq!(world.function("w").scale.writer, Writer::External);
    assert!(world.removed().is_empty(), "its routes must stay");
    world.projection.set_keda(KedaLife::LetGo);
    world.take();
    assert_eq!(world.function("w").scale.writer, Writer::Zeron);
}

#[test]
fn requests_of_what_keda_took_again_are_refused_and_wait_on_the_way_back() {
    let mut world = World::new();
    let adopted = annotated(
        http("so", "w", "h.example.com"),
        "zeron.dev/adopted-from",
        "keda",
    );
    let lives = |world: &mut World, life| {
        world.projection.set_keda(life);
        world.take();
        world.declared("w").is_wake_allowed
    };
    world.put([deployment("w"), service("w", "w")]);
    world.projection.set_keda(KedaLife::Alive);
    world.put([adopted.clone()]);
    assert!(world.declared("w").is_wake_allowed, "the import goes on");
    assert!(lives(&mut world, KedaLife::Gone), "it is ours");
    assert!(!lives(&mut world, KedaLife::Alive), "nobody would wake it");
    assert_eq!(world.function("w").scale.writer, Writer::External);
    // Another version of it, or only of its status, makes it no import.
    let changed = with(adopted.clone(), "spec/replicas/max", 9);
    world.put([changed.clone()]);
    world.put([with(changed, "metadata/resourceVersion", "8")]);
    let grace = "spec/template/spec/terminationGracePeriodSeconds";
    world.put([with(deployment("w"), grace, 5)]);
    assert!(!world.declared("w").is_wake_allowed);
    let back = annotated(adopted.clone(), "zeron.dev/handed-back", "pending");
    world.put([back]);
    assert!(world.declared("w").is_wake_allowed, "it is on its way back");
    world.put([adopted]);
    assert!(world.declared("w").is_wake_allowed, "imported once more");
    assert!(lives(&mut world, KedaLife::Gone));
    assert!(!lives(&mut world, KedaLife::Alive));
}

#[test]
fn keda_s_object_on_the_same_target_keeps_us_from_writing() {
    let mut world = World::labelled();
    world.put([
        deployment("w"),
        service("w", "w"),
        scaled("theirs", "w"),
        labelled(http("h", "w", "h.example.com")),
    ]);
    let owner = ObjectKey::new(SCALED, "default", "theirs");
    assert_eq!(
        *world.outcome(HTTP, "h"),
        Outcome::Conflict(Conflict::Unmanaged { owner })
    );
    assert_eq!(world.function("w").scale.writer, Writer::External);
}

#[test]
fn an_interceptor_route_takes_the_place_of_its_namesake() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        http("x", "w", "old.example.com"),
    ]);
    world.put([interceptor("x", "w", "new.example.com")]);
    assert!(matches!(
        world.outcome(HTTP, "x"),
        Outcome::Conflict(Conflict::Replaced { .. })
    ));
    assert_eq!(
        *world.outcome(ObjectKind::InterceptorRoute, "x"),
        Outcome::Ok
    );
    let hosts: Vec<_> = world
        .routes()
        .routes
        .iter()
        .flat_map(|r| r.hosts.clone())
        .collect();
    assert_eq!(hosts, [HostPattern::Exact("new.example.com".to_owned())]);
    assert_eq!(world.groups("w").len(), 1, "it scales all the same");
}
