//! A hard limit with two activators: a limit of one is one.

use zeron_tests::Raw;
use zeron_tests::cluster::{Cluster, Roles};
use zeron_tests::until;

use super::declare::{function, http_scaled};

#[test]
fn two_activators_share_the_one_slot_of_a_pod() {
    let Some(cluster) = Cluster::get("kubernetes::two_activators_share_the_one_slot") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("kubernetes-slots");
    function(&namespace, "single", 0);
    let limit = "annotations: { zeron.dev/concurrency-limit: '1' }";
    namespace.apply(&http_scaled(
        "single",
        limit,
        "replicas: { min: 0, max: 1 }",
    ));
    let roles = Roles::of(&namespace).activators(2).with_peers().start();
    for activator in &roles.activators {
        until("the host to be routed", || {
            (activator.get("single.example", "/status?code=204").status == 204).then_some(())
        });
    }
    let mut clients: Vec<Raw> = (0..10).map(|n| roles.activators[n % 2].connect()).collect();
    for client in &mut clients {
        client.get("single.example", "/work?ms=200");
    }
    for client in &mut clients {
        let answer = client.response();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["max_in_flight"], 1);
    }
}
