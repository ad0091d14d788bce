//! Activators and autoscalers do not hear each other for a while.

use std::time::Duration;

use zeron_tests::Raw;
use zeron_tests::cluster::{Cluster, Roles};
use zeron_tests::wait::throughout;

use super::declare::{DEPLOYMENT, Function, eager, until_served};
use super::way::Way;

#[test]
fn a_partition_from_the_autoscaler_holds_counts_and_is_made_good() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_partition_from_the_autoscaler") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-partition");
    for name in ["held", "cold"] {
        Function::new(name, 0).apply(&namespace);
        eager(&namespace, name, 0, 4);
    }
    let others = Roles::of(&namespace).activators(0).start();
    let way = Way::to(&[others.autoscalers[0].listen()]);
    let roles = Roles::of(&namespace)
        .autoscalers(0)
        .controllers(0)
        .activator_args(&["--autoscaler", &way.address.to_string()])
        .start();
    until_served(&roles, "held.example");
    until_served(&roles, "cold.example");
    let mut busy: Vec<_> = (0..8)
        .map(|_| Raw::connect(roles.activators[0].listen()))
        .collect();
    for client in &mut busy {
        client.get("held.example", "/work?ms=25000");
    }
    namespace.wait_replicas(DEPLOYMENT, "held", 2);
    namespace.wait_pods("app=cold", 0);
    way.hold_up();
    let answer = roles.get("cold.example", "/");
    assert_eq!(answer.status, 200, "cold: {}", answer.text());
    // A partition lasts.
    throughout(
        Duration::from_secs(12),
        "what was needed last is held",
        || namespace.replicas(DEPLOYMENT, "held") == 2,
    );
    assert_eq!(roles.get("held.example", "/").status, 200);
    way.let_pass();
    for client in &mut busy {
        assert_eq!(client.response().status, 200);
    }
    for name in ["held", "cold"] {
        namespace.wait_replicas(DEPLOYMENT, name, 0);
    }
    drop(others);
}
