//! From a live KEDA to zeron and back, under load: no request lost, no replica dropped.
#![allow(clippy::unwrap_used)]

#[path = "kubernetes_takeover/add_on.rs"]
mod add_on;
#[allow(dead_code, reason = "shared with other tests of KEDA")]
#[path = "kubernetes_takeover/keda.rs"]
mod keda;
#[path = "kubernetes_takeover/scene.rs"]
mod scene;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use zeron_tests::cluster::{Cluster, Role, Roles};
use zeron_tests::load::Load;
use zeron_tests::wait::within;

use add_on::Held;
use keda::Keda;
use scene::{AUTOSCALER, DEPLOYMENT, Import, SCALED, SERVICE, Scene, replicas_over_time};

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
    let load = Load::fresh(service, "web.example", 50);
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

    load.end()
        .assert_all_answered("KEDA's objects are taken over and given back");
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

/// Requests are held at every place where one can be: at our activators before KEDA ends, at an interceptor that KEDA
/// does not serve any more, at our activators on the way back, at an interceptor before KEDA begins.
#[test]
fn a_move_from_the_add_on_and_back_answers_every_request_that_is_held_on_the_way() {
    const TEST: &str =
        "a_move_from_the_add_on_and_back_answers_every_request_that_is_held_on_the_way";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let (Some(keda_binary), Some(programs)) = (keda::binary(TEST), add_on::programs(TEST)) else {
        return;
    };
    let scene = Scene::new(cluster, "add-on");
    let namespace = &scene.namespace;
    add_on::install(&scene, &programs);
    add_on::add_to_web(&scene);
    let cold = ["before", "between", "back", "after"];
    cold.iter().for_each(|name| add_on::add_cold(&scene, name));
    let keda = Keda::start(&keda_binary, namespace, &[]);
    for name in ["keda-hpa-web", "keda-hpa-before", "keda-hpa-after"] {
        namespace.wait(AUTOSCALER, name, "to be made by KEDA", scene::is_there);
    }
    let host = SocketAddr::new(cluster.host_address(), scene::ACTIVATOR_PORT);
    let roles = Roles::of(namespace)
        .for_pods()
        .activator_port(host.port())
        .controller_args(&["--alias-namespace", namespace.name()])
        .start();
    let activator = &roles.activators[0];
    scene.add_activator_pod(activator);
    let proxy = scene.address_of(scene::PROXY);
    scene.wait_answer(proxy, "web");
    let load = Load::fresh(proxy, "web.example", 50);
    let counts = replicas_over_time(namespace, "web");

    let mut import = Import::start(&scene, &["import", "http-add-on", "--apply", "--stop-keda"]);
    import.wait_for("KEDA is alive");
    let before = Held::send(activator.listen(), "before");
    wait_waiting(activator, "before");
    // Killed, not ended: until its lease has run out nobody scales.
    drop(keda);
    let between = Held::send(proxy, "between");
    add_on::wait_held(&scene, "between");
    import.succeeds();
    before.answered("before");
    between.answered("between");
    let service = namespace.get(SERVICE, scene::PROXY).unwrap();
    assert!(service["spec"]["selector"].is_null(), "{service:#}");
    for part in add_on::PARTS {
        assert_eq!(namespace.replicas(DEPLOYMENT, part), 0, "{part}");
    }

    let mut handback = Import::start(
        &scene,
        &["handback", "http-add-on", "--apply", "--start-keda"],
    );
    namespace.wait(SCALED, "back", "to be on its way back", |object| {
        let mark = &object["metadata"]["annotations"]["zeron.dev/handed-back"];
        (mark == "pending").then_some(())
    });
    let back = Held::send(activator.listen(), "back");
    // The step itself; its name stands in the plan, too.
    handback.wait_for("wait until KEDA holds its lease: ");
    back.answered("back");
    let service = namespace.get(SERVICE, scene::PROXY).unwrap();
    assert_eq!(
        service["spec"]["selector"],
        json!({ "app": add_on::PARTS[0] })
    );
    assert!(service["metadata"]["annotations"]["zeron.dev/selector"].is_null());
    let after = Held::send(proxy, "after");
    add_on::wait_held(&scene, "after");
    let keda = Keda::start(&keda_binary, namespace, &[]);
    handback.succeeds();
    after.answered("after");
    for part in add_on::PARTS {
        assert_eq!(namespace.replicas(DEPLOYMENT, part), 1, "{part}");
    }
    for name in cold {
        assert!(namespace.replicas(DEPLOYMENT, name) > 0, "{name} keeps it");
    }

    load.end()
        .assert_all_answered("the add-on's objects are taken over and given back");
    assert_eq!(counts.end(), [2], "the replica count never changes");
    drop(keda);
}

/// Waits until an activator says that a request waits there for a function.
fn wait_waiting(activator: &Role, name: &str) {
    let what = format!("a request to wait for {name}");
    within(Duration::from_secs(30), &what, || {
        let page = activator.ask("/metrics").ok()?;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        let is_it = |line: &str| {
            line.starts_with("zeron_activator_waiting_requests{")
                && line.contains(&format!("name=\"{name}\""))
        };
        page.lines().any(is_it).then_some(())
    });
}
