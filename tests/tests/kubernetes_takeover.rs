//! From a live KEDA to zeron and back, under load: no request lost, no replica dropped.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with other tests of KEDA")]
#[path = "kubernetes_takeover/keda.rs"]
mod keda;
#[path = "kubernetes_takeover/load.rs"]
mod load;
#[path = "kubernetes_takeover/scene.rs"]
mod scene;

use std::net::SocketAddr;

use serde_json::json;
use zeron_tests::cluster::{Cluster, Roles};

use keda::Keda;
use load::Load;
use scene::{AUTOSCALER, DEPLOYMENT, Import, SCALED, SERVICE, SLICE, Scene, replicas_over_time};

#[test]
fn an_import_and_a_handback_lose_no_request_and_drop_no_replica() {
    const TEST: &str = "an_import_and_a_handback_lose_no_request_and_drop_no_replica";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let Some(binary) = keda::binary(TEST) else {
        return;
    };
    let scene = Scene::new(cluster, "takeover");
    let namespace = &scene.namespace;
    let keda = Keda::start(&binary, namespace, &[]);
    namespace.wait(
        AUTOSCALER,
        "keda-hpa-web",
        "to be made by KEDA",
        scene::is_there,
    );
    let _roles = Roles::of(namespace).start();
    let service = scene.service_address();
    scene.wait_answer(service, "web");
    let load = Load::start(service, "web.example", 50);
    let counts = replicas_over_time(namespace, "web");

    let mut import = Import::start(&scene, &["import", "keda", "--apply"]);
    import.wait_for("KEDA is alive");
    assert!(import.is_running());
    assert!(
        namespace.get(AUTOSCALER, "keda-hpa-web").is_some(),
        "KEDA lives: nothing is deleted"
    );
    keda.stop();
    import.succeeds();
    assert!(namespace.get(AUTOSCALER, "keda-hpa-web").is_none());
    namespace.wait_condition(SCALED, "web", "Ready", "True");

    let mut handback = Import::start(&scene, &["handback", "keda", "--apply"]);
    handback.wait_for("start KEDA's operator");
    let keda = Keda::start(&binary, namespace, &[]);
    handback.succeeds();
    assert!(namespace.get(AUTOSCALER, "keda-hpa-web").is_some());
    let given = namespace.get(SCALED, "web").unwrap();
    let annotations = &given["metadata"]["annotations"];
    assert_eq!(annotations["zeron.dev/handed-back"], "true");
    assert!(annotations["zeron.dev/adopted-from"].is_null());
    let finalizers = given["metadata"]["finalizers"].as_array().unwrap();
    assert!(finalizers.contains(&json!("finalizer.keda.sh")));

    let outcome = load.end();
    assert!(
        outcome.lost.is_empty(),
        "of {}: {:#?}",
        outcome.sent,
        outcome.lost
    );
    assert!(outcome.sent > 500, "{} requests are no load", outcome.sent);
    assert_eq!(counts.end(), [2], "the replica count never changes");
    drop(keda);
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    const TEST: &str = "an_import_that_was_killed_goes_on_where_it_was";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let Some(binary) = keda::binary(TEST) else {
        return;
    };
    let scene = Scene::new(cluster, "resume");
    let namespace = &scene.namespace;
    let keda = Keda::start(&binary, namespace, &[]);
    namespace.wait(
        AUTOSCALER,
        "keda-hpa-web",
        "to be made by KEDA",
        scene::is_there,
    );
    let _roles = Roles::of(namespace).start();
    let mut first = Import::start(&scene, &["import", "keda", "--apply"]);
    first.wait_for("KEDA is alive");
    first.kill();
    keda.stop();
    let marked = namespace.get(SCALED, "web").unwrap();
    assert_eq!(
        marked["metadata"]["annotations"]["zeron.dev/adopted-from"],
        "keda"
    );
    Import::start(&scene, &["import", "keda", "--apply"]).succeeds();
    assert!(namespace.get(AUTOSCALER, "keda-hpa-web").is_none());
    assert_eq!(namespace.replicas(DEPLOYMENT, "web"), 2);
    let rest = Import::start(&scene, &["import", "keda"]).output();
    assert!(rest.contains("Nothing is left to do"), "{rest}");
}

#[test]
fn without_an_autoscaler_of_ours_an_import_is_refused_and_changes_nothing() {
    const TEST: &str = "without_an_autoscaler_of_ours_an_import_is_refused_and_changes_nothing";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let scene = Scene::new(cluster, "refused");
    let mut import = Import::start(&scene, &["import", "keda", "--apply"]);
    assert_eq!(import.code(), Some(2));
    let object = scene.namespace.get(SCALED, "web").unwrap();
    assert!(object["metadata"]["annotations"]["zeron.dev/adopted-from"].is_null());
}

#[test]
fn a_dry_run_says_what_differs_and_changes_nothing() {
    const TEST: &str = "a_dry_run_says_what_differs_and_changes_nothing";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let scene = Scene::new(cluster, "dry");
    let version = |scene: &Scene| {
        scene.namespace.get(SCALED, "web").unwrap()["metadata"]["resourceVersion"].clone()
    };
    let before = version(&scene);
    let said = Import::start(&scene, &["import", "keda"]).output();
    for part in [
        "in one step",
        "deletes all objects of its kind",
        "mark ScaledObject",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    assert_eq!(version(&scene), before);
}

/// The add-on's interceptors are stood for by pods that answer: what is moved is their Service.
#[test]
fn the_add_ons_service_moves_to_the_activators_and_back_without_a_lost_request() {
    const TEST: &str =
        "the_add_ons_service_moves_to_the_activators_and_back_without_a_lost_request";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let scene = Scene::new(cluster, "proxy");
    let namespace = &scene.namespace;
    scene.add_interceptors();
    let host = SocketAddr::new(cluster.host_address(), scene::ACTIVATOR_PORT);
    let _roles = Roles::of(namespace)
        .for_pods()
        .activator_port(host.port())
        .controller_args(&["--alias-namespace", namespace.name()])
        .start();
    // The activator is a process of this machine; this is how the controller finds it.
    scene.add_activator_pod(host);
    let proxy = scene.address_of(scene::PROXY);
    scene.wait_answer(proxy, "interceptor");
    let load = Load::start(proxy, "web.example", 50);

    Import::start(
        &scene,
        &["import", "http-add-on", "--apply", "--timeout", "60s"],
    )
    .succeeds();
    let service = namespace.get(SERVICE, scene::PROXY).unwrap();
    assert!(service["spec"]["selector"].is_null(), "{service:#}");
    let slices = namespace.list(
        SLICE,
        &format!("kubernetes.io/service-name={}", scene::PROXY),
    );
    assert_eq!(slices.len(), 1, "only ours");
    scene.wait_answer(proxy, "web");

    // Here is no KEDA that would come: all that is ours is done before it waits for one.
    let mut handback = Import::start(&scene, &["handback", "http-add-on", "--apply"]);
    handback.wait_for("wait until KEDA holds its lease: ");
    handback.kill();
    let service = namespace.get(SERVICE, scene::PROXY).unwrap();
    assert_eq!(service["spec"]["selector"], json!({ "app": "interceptor" }));
    assert!(service["metadata"]["annotations"]["zeron.dev/selector"].is_null());
    let outcome = load.end();
    assert!(
        outcome.lost.is_empty(),
        "of {}: {:#?}",
        outcome.sent,
        outcome.lost
    );
}
