//! Processes are replaced under load.

use std::net::SocketAddr;
use std::time::Duration;

use zeron_tests::cluster::{Cluster, Installation, Namespace, Program, Role, Roles};
use zeron_tests::load::Load;
use zeron_tests::process::Signal;
use zeron_tests::until;
use zeron_tests::wait::last;

use super::declare::{Function, http_function, http_scaled, until_served, until_served_by};
use super::streams::Streams;
use super::way::Way;

#[test]
fn activators_one_after_the_other_lose_no_request_and_no_stream() {
    let Some(cluster) = Cluster::get("kubernetes_faults::activators_one_after_the_other") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-rolling");
    declare(&namespace);
    let mut roles = Roles::of(&namespace).activators(2).start();
    until_served(&roles, "web.example");
    until_grpc(&roles);
    let way = Way::to(&addresses(&roles));
    let load = Load::mixed(&[way.address], "web.example", "/", 200);
    let sockets = Streams::sockets(way.address, "web.example", 4);
    let calls = Streams::grpc(way.address, "grpc.example", 4);
    for _ in 0..2 {
        for number in 0..2 {
            replace(&mut roles, number, &way, "web.example", |_| ());
        }
    }
    load.end().assert_all_answered("rolling restarts, requests");
    sockets
        .end()
        .assert_all_answered("rolling restarts, WebSockets");
    calls
        .end()
        .assert_all_answered("rolling restarts, gRPC streams");
}

fn declare(namespace: &Namespace) {
    http_function(namespace, "web", 1, 2);
    let program = Program::Origin;
    Function {
        program,
        ..Function::new("grpc", 1)
    }
    .apply(namespace);
    http_scaled(namespace, "grpc", "replicas: { min: 1, max: 2 }");
}

fn until_grpc(roles: &Installation) {
    for activator in &roles.activators {
        until("gRPC to be served", || {
            let mut client = activator.connect();
            let answer = client.get("grpc.example", "/").try_response();
            answer.ok().filter(|it| it.status == 200).map(drop)
        });
    }
}

pub(crate) fn addresses(roles: &Installation) -> Vec<SocketAddr> {
    roles.activators.iter().map(|role| role.listen()).collect()
}

/// As Kubernetes does it: a signal, and a moment later nobody is led there; a new one gets requests when it is ready
/// and serves `host`.
pub(crate) fn replace(
    roles: &mut Installation,
    number: usize,
    way: &Way,
    host: &str,
    change: impl FnOnce(&mut Role),
) {
    let all = addresses(roles);
    let old = &mut roles.activators[number];
    old.signal(Signal::TERM);
    until("it not to be ready", || {
        old.ask("/readyz")
            .ok()
            .is_none_or(|answer| answer.status != 200)
            .then_some(())
    });
    // Those who lead clients hear of it later: a bounded time in which it is still asked.
    last(Duration::from_secs(1));
    way.lead_to(&[all[1 - number]]);
    let status = old.wait();
    assert!(status.success(), "{status}");
    change(old);
    old.restart();
    until_served_by(old, host);
    way.lead_to(&all);
}
