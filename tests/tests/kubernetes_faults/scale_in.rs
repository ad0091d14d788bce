//! Replicas are taken away under load.

use std::net::SocketAddr;

use zeron_tests::Raw;
use zeron_tests::cluster::{Cluster, Roles};
use zeron_tests::load::Load;

use super::declare::{DEPLOYMENT, Function, POD, eager, until_served};

#[test]
fn from_ten_to_one_under_load_loses_no_request() {
    let Some(cluster) = Cluster::get("kubernetes_faults::from_ten_to_one_under_load") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-in");
    Function::new("shrinking", 1).apply(&namespace);
    eager(&namespace, "shrinking", 1, 4);
    let roles = Roles::of(&namespace).activators(2).start();
    until_served(&roles, "shrinking.example");
    let addresses: Vec<_> = roles.activators.iter().map(|role| role.listen()).collect();
    let load = Load::mixed(&addresses, "shrinking.example", "/work?ms=10", 100);
    for _ in 0..2 {
        // Each keeps a fourth of a replica busy until it is closed.
        let busy: Vec<_> = (0..40).map(|n| open(addresses[n % 2])).collect();
        namespace.wait_replicas(DEPLOYMENT, "shrinking", 10);
        namespace.wait_pods("app=shrinking", 10);
        drop(busy);
        // The load itself needs one, or two for a moment.
        namespace.wait_list(POD, "app=shrinking", "to be one or two", |pods| {
            (pods.len() <= 2).then_some(())
        });
    }
    load.end()
        .assert_all_answered("two times from ten replicas to one");
}

/// A WebSocket.
fn open(address: SocketAddr) -> Raw {
    let mut client = Raw::connect(address);
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    client.send(format!("GET /ws HTTP/1.1\r\nHost: shrinking.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n"));
    assert_eq!(client.response().status, 101);
    client
}
