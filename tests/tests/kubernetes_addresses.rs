//! The address of a node changes: its pods are elsewhere, under their names, and so go the requests.
//!
//! No kubelet does this on demand. Here is no node but the test.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with the tests of other faults")]
#[path = "kubernetes_faults/declare.rs"]
mod declare;
#[path = "kubernetes_addresses/node.rs"]
mod node;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use zeron_tests::cluster::{Entry, Installation, Namespace, OwnApi, Role, Roles};
use zeron_tests::load::Load;
use zeron_tests::wait::throughout;
use zeron_tests::{Response, free_address, until};

use declare::{DEPLOYMENT, http_scaled};
use node::{Node, Pod};

/// Requests over each activator, of which none may go to a former address.
const ASKED: usize = 50;

#[test]
fn pods_of_a_node_whose_address_changed_are_served_at_the_new_one() {
    const TEST: &str = "pods_of_a_node_whose_address_changed_are_served_at_the_new_one";
    let Some(own) = OwnApi::start(TEST) else {
        return;
    };
    let cluster = own.cluster();
    cluster.install_crds();
    let namespace = cluster.namespace("addresses");
    // The same at every address, as pods of one template have it.
    let port = free_address().port();
    let mut node = Node::new(&namespace, ip(21, 1));
    declare(&namespace, "hosted", port, "replicas: { min: 0, max: 5 }");
    declare(&namespace, "ranged", port, "replicas: { min: 2, max: 5 }");
    let roles = Roles::of(&namespace).activators(2).start();

    let mut hosted = wake(&namespace, &roles, &node, SocketAddr::new(ip(21, 1), port));
    let load = begin_load(&roles, "hosted.example");
    namespace.wait_replicas(DEPLOYMENT, "ranged", 2);
    let mut ranged = node.run("ranged", &range(22, port), false);
    for pods in [("hosted.example", &hosted), ("ranged.example", &ranged)] {
        until_answered_by(&roles, pods.0, pods.1);
    }
    let audit = cluster.audit().unwrap();

    host_moves(&roles, &mut node, &mut hosted[0], port);
    range_moves(&roles, &node, &mut ranged, port);

    // The autoscaler looks several times meanwhile.
    throughout(Duration::from_secs(5), "the counts stay", || {
        let asked = |name| namespace.replicas(DEPLOYMENT, name);
        (asked("hosted"), asked("ranged")) == (1, 2)
    });
    ask(&roles, "hosted.example", &hosted);
    ask(&roles, "ranged.example", &ranged);
    load.end().assert_all_answered("a node changed its address");
    for name in ["hosted", "ranged"] {
        let mut writes = audit.scale_writes(namespace.name(), name);
        writes.retain(Entry::took_effect);
        assert!(writes.is_empty(), "{name}: {writes:#?}");
    }
}

/// A pod on the network of its node: the address is another, and nothing else. Somebody else may have the former one,
/// and would answer there.
fn host_moves(roles: &Installation, node: &mut Node<'_>, pod: &mut Pod<'_>, port: u16) {
    let before = waited(roles);
    node.readdress(ip(23, 1));
    let former = pod.readdress(node, SocketAddr::new(ip(23, 1), port));
    let pods = std::slice::from_ref(pod);
    until_answered_by(roles, "hosted.example", pods);
    // What was under way ends meanwhile.
    ask(roles, "hosted.example", pods);
    let served = former.served();
    ask(roles, "hosted.example", pods);
    assert_eq!(
        former.served(),
        served + 1,
        "only we ask at the former address"
    );
    assert_eq!(waited(roles), before, "requests that waited for a replica");
}

/// The node is gone and comes back with another range for its pods.
fn range_moves(roles: &Installation, node: &Node<'_>, pods: &mut [Pod<'_>], port: u16) {
    let load = begin_load(roles, "ranged.example");
    ask(roles, "ranged.example", pods);
    // One after the other: no request breaks at both.
    let lose = |pod: &mut Pod<'_>| {
        pod.kill();
        pod.lose(node)
    };
    let former: Vec<_> = pods.iter_mut().map(lose).collect();
    for (pod, address) in pods.iter_mut().zip(range(24, port)) {
        pod.come_back(node, address);
    }
    until_answered_by(roles, "ranged.example", pods);
    let vacated: Vec<_> = former.iter().map(TcpListener::bind).collect();
    ask(roles, "ranged.example", pods);
    for listener in vacated {
        let listener = listener.unwrap();
        listener.set_nonblocking(true).unwrap();
        let nobody = listener.accept().map(|(_, from)| from);
        assert_eq!(nobody.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    load.end()
        .assert_all_answered("a node came back with another range");
}

/// Requests to every activator, until it is ended.
fn begin_load(roles: &Installation, host: &str) -> Load {
    let activators: Vec<_> = roles.activators.iter().map(Role::listen).collect();
    Load::mixed(&activators, host, "/", 40)
}

/// A Deployment at zero, its Service, and its HTTPScaledObject.
fn declare(namespace: &Namespace, name: &str, port: u16, replicas: &str) {
    namespace.apply(&format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name} }}
spec:
  replicas: 0
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec: {{ containers: [{{ name: function, image: none, ports: [{{ containerPort: {port} }}] }}] }}
---
apiVersion: v1
kind: Service
metadata: {{ name: {name} }}
spec: {{ selector: {{ app: {name} }}, ports: [{{ port: 80, targetPort: {port} }}] }}
"
    ));
    http_scaled(namespace, name, replicas);
}

/// A request wakes `hosted`, whose pod is then made.
fn wake<'n>(
    namespace: &'n Namespace,
    roles: &Installation,
    node: &Node<'n>,
    address: SocketAddr,
) -> Vec<Pod<'n>> {
    let mut first = roles.activators[0].connect();
    first.get("hosted.example", "/");
    namespace.wait_replicas(DEPLOYMENT, "hosted", 1);
    let pods = node.run("hosted", &[address], true);
    let answer = first.response();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-keda-http-cold-start"), Some("true"));
    pods
}

/// Addresses for two pods.
fn range(net: u8, port: u16) -> [SocketAddr; 2] {
    [1, 2].map(|last| SocketAddr::new(ip(net, last), port))
}

fn ip(net: u8, last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, net, last).into()
}

/// Waits until every activator sends requests to all of these pods.
fn until_answered_by(roles: &Installation, host: &str, pods: &[Pod<'_>]) {
    for activator in &roles.activators {
        let mut missing = pids(pods);
        until(&format!("{host} to be answered by {missing:?}"), || {
            missing.remove(&pid(&activator.get(host, "/")));
            missing.is_empty().then_some(())
        });
    }
}

/// Asks every activator many times: these pods answer, each of them, and nobody else.
#[track_caller]
fn ask(roles: &Installation, host: &str, pods: &[Pod<'_>]) {
    for activator in &roles.activators {
        let mut kept = activator.connect();
        let answers = (0..ASKED).map(|number| match number % 5 {
            0 => activator.get(host, "/"),
            _ => kept.get(host, "/").response(),
        });
        let answered = answers.map(|answer| {
            assert_eq!(answer.status, 200, "{host}: {}", answer.text());
            let cold = answer.header("x-keda-http-cold-start");
            assert_eq!(cold, Some("false"), "{host}");
            pid(&answer)
        });
        assert_eq!(answered.collect::<BTreeSet<_>>(), pids(pods), "{host}");
    }
}

fn pids(pods: &[Pod<'_>]) -> BTreeSet<String> {
    pods.iter().map(|pod| pod.pid().to_string()).collect()
}

/// The process that answered; empty where none did.
fn pid(answer: &Response) -> String {
    answer.header("x-pid").unwrap_or_default().to_owned()
}

/// How many requests have waited for a replica at each activator.
fn waited(roles: &Installation) -> Vec<String> {
    const NAME: &str = "zeron_activator_cold_start_seconds_count{phase=\"queue\"} ";
    let count = |activator: &Role| {
        let metrics = activator.ask("/metrics").unwrap().text();
        let found = metrics.lines().find_map(|line| line.strip_prefix(NAME));
        found.expect("it is always shown").to_owned()
    };
    roles.activators.iter().map(count).collect()
}
