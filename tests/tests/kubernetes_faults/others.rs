//! Others do as they like: they delete pods, write counts, delete targets and namespaces.

use serde_json::Value;
use zeron_tests::cluster::{Cluster, Namespace, Roles};
use zeron_tests::load::Load;
use zeron_tests::until;

use super::declare::{
    DEPLOYMENT, Function, HTTP_SCALED, POD, eager, http_function, http_scaled, until_served,
};

#[test]
fn pods_deleted_while_they_serve_lose_no_request() {
    let Some(cluster) = Cluster::get("kubernetes_faults::pods_deleted_while_they_serve") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-evicted");
    // As everywhere else: a pod goes on for a moment after it was told to stop, until everybody has heard of it.
    let container = "lifecycle: { preStop: { sleep: { seconds: 2 } } }";
    Function {
        container,
        ..Function::new("evicted", 2)
    }
    .apply(&namespace);
    http_scaled(&namespace, "evicted", "replicas: { min: 2, max: 2 }");
    let roles = Roles::of(&namespace).start();
    until_served(&roles, "evicted.example");
    let load = Load::mixed(
        &[roles.activators[0].listen()],
        "evicted.example",
        "/work?ms=50",
        80,
    );
    for pod in namespace.wait_pods("app=evicted", 2) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        namespace.delete(POD, name);
        namespace.wait_gone(POD, name);
        namespace.wait_pods("app=evicted", 2);
    }
    load.end()
        .assert_all_answered("pods deleted while they serve");
}

#[test]
fn pods_evicted_while_they_serve_lose_no_request() {
    let Some(cluster) = Cluster::get("kubernetes_faults::pods_evicted_while_they_serve") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-drained");
    // One serves on while the other goes, or nobody does for a while.
    let functions = [("pair", 2), ("alone", 1)];
    for (name, replicas) in functions {
        Function {
            container: "lifecycle: { preStop: { sleep: { seconds: 2 } } }",
            ..Function::new(name, replicas)
        }
        .apply(&namespace);
        let counts = format!("replicas: {{ min: {replicas}, max: {replicas} }}");
        http_scaled(&namespace, name, &counts);
        namespace.apply(&format!(
            "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{ name: {name} }}
spec: {{ maxUnavailable: 1, selector: {{ matchLabels: {{ app: {name} }} }} }}
"
        ));
    }
    let roles = Roles::of(&namespace).start();
    let activator = [roles.activators[0].listen()];
    let loads = functions.map(|(name, _)| {
        let host = format!("{name}.example");
        until_served(&roles, &host);
        Load::mixed(&activator, &host, "/work?ms=50", 40)
    });
    for (name, replicas) in functions {
        let labels = format!("app={name}");
        for pod in namespace.wait_pods(&labels, replicas as usize) {
            let pod = pod["metadata"]["name"].as_str().unwrap();
            until("the budget to let it go", || {
                namespace.evict(pod).then_some(())
            });
            namespace.wait_gone(POD, pod);
            namespace.wait_pods(&labels, replicas as usize);
        }
    }
    for (load, (name, _)) in loads.into_iter().zip(functions) {
        load.end()
            .assert_all_answered(&format!("pods of {name} evicted while they serve"));
    }
}

#[test]
fn a_count_that_somebody_else_writes_is_corrected_and_loses_no_request() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_count_that_somebody_else_writes") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-writer");
    Function::new("disputed", 1).apply(&namespace);
    eager(&namespace, "disputed", 1, 10);
    let roles = Roles::of(&namespace).start();
    until_served(&roles, "disputed.example");
    let load = Load::mixed(&[roles.activators[0].listen()], "disputed.example", "/", 50);
    for foreign in [0, 4, 0] {
        namespace.scale(DEPLOYMENT, "disputed", foreign);
        namespace.wait_replicas(DEPLOYMENT, "disputed", 1);
        namespace.wait_pods("app=disputed", 1);
    }
    load.end()
        .assert_all_answered("somebody else writes the count");
}

#[test]
fn a_target_deleted_and_made_again_is_said_and_served_again() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_target_deleted_and_made_again") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-target");
    http_function(&namespace, "again", 0, 1);
    let roles = Roles::of(&namespace).start();
    until_served(&roles, "again.example");
    namespace.delete(DEPLOYMENT, "again");
    namespace.wait_gone(DEPLOYMENT, "again");
    namespace.wait_reason(HTTP_SCALED, "again", ["Ready", "False", "TargetMissing"]);
    let status = roles.get("again.example", "/").status;
    assert!(matches!(status, 404 | 503), "{status}");
    Function::new("again", 0).apply(&namespace);
    namespace.wait_condition(HTTP_SCALED, "again", "Ready", "True");
    until_served(&roles, "again.example");
    namespace.wait_replicas(DEPLOYMENT, "again", 0);
}

#[test]
fn a_deleted_namespace_goes_and_others_are_served() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_deleted_namespace_goes") else {
        return;
    };
    cluster.install_crds();
    let (namespace, doomed) = (
        cluster.namespace("faults-stays"),
        cluster.namespace("faults-goes"),
    );
    http_function(&namespace, "stays", 1, 1);
    http_function(&doomed, "goes", 1, 1);
    let roles = Roles::of(&namespace).watch(&doomed).start();
    until_served(&roles, "stays.example");
    until_served(&roles, "goes.example");
    let load = Load::mixed(&[roles.activators[0].listen()], "stays.example", "/", 50);
    namespace.kubectl(&["delete", "namespace", doomed.name(), "--wait=false"]);
    until("the host not to be routed", || {
        (roles.get("goes.example", "/").status == 404).then_some(())
    });
    // Nothing of ours keeps it: finalizers are taken away.
    zeron_tests::wait::within(
        std::time::Duration::from_secs(60),
        "the namespace to be gone",
        || is_gone(&doomed).then_some(()),
    );
    load.end()
        .assert_all_answered("another namespace is deleted");
}

fn is_gone(namespace: &Namespace) -> bool {
    let found = namespace.get("v1/Namespace", namespace.name());
    found.as_ref().is_none_or(Value::is_null)
}
