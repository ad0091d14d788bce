//! The API server answers, but not as one would like: 410, 409, 429, 500, slowly, without a kind, or with much that is invalid.

use std::time::{Duration, Instant};

use zeron_tests::cluster::{Cluster, Installation, Roles};
use zeron_tests::load::Load;
use zeron_tests::until;
use zeron_tests::wait::throughout;

use super::api::{Api, Mode};
use super::declare::{DEPLOYMENT, HTTP_SCALED, http_function, until_served};

#[test]
fn watches_that_expire_again_and_again_lose_nothing() {
    let Some(cluster) = Cluster::get("kubernetes_faults::watches_that_expire") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-expired");
    let api = Api::of(cluster);
    http_function(&namespace, "early", 1, 2);
    let roles = Roles::of(&namespace).kubeconfig(&api.kubeconfig()).start();
    until_served(&roles, "early.example");
    let load = Load::mixed(&[roles.activators[0].listen()], "early.example", "/", 50);
    api.set(Mode::Expired);
    until("watches to expire", || (api.failed() > 20).then_some(()));
    // Heard of by lists alone.
    http_function(&namespace, "meanwhile", 0, 1);
    until_served(&roles, "meanwhile.example");
    api.set(Mode::Pass);
    http_function(&namespace, "after", 0, 1);
    until_served(&roles, "after.example");
    namespace.wait_replicas(DEPLOYMENT, "meanwhile", 0);
    println!("{} watches expired", api.failed());
    load.end().assert_all_answered("watches expire");
}

#[test]
fn an_api_server_that_refuses_or_is_slow_delays_cold_requests_and_no_warm_ones() {
    let Some(cluster) = Cluster::get("kubernetes_faults::an_api_server_that_refuses") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-refusing");
    let api = Api::of(cluster);
    http_function(&namespace, "warm", 1, 2);
    let modes = [
        Mode::Refuse(409),
        Mode::Refuse(429),
        Mode::Refuse(500),
        Mode::Slow(Duration::from_millis(500)),
    ];
    for number in 0..modes.len() {
        http_function(&namespace, &format!("cold{number}"), 0, 1);
    }
    let roles = Roles::of(&namespace).kubeconfig(&api.kubeconfig()).start();
    until_served(&roles, "warm.example");
    until("the last host to be routed", || {
        (roles.get("cold3.example", "/").status == 200).then_some(())
    });
    namespace.wait_pods("app=cold3", 0);
    let load = Load::mixed(&[roles.activators[0].listen()], "warm.example", "/", 50);
    for (number, mode) in modes.into_iter().enumerate() {
        api.set(mode.clone());
        let began = Instant::now();
        let mut caller = roles.activators[0].connect();
        caller.get(&format!("cold{number}.example"), "/");
        // A bounded time in which it refuses.
        let is_answered = caller.readable_within(Duration::from_secs(4));
        assert!(
            !is_answered || matches!(mode, Mode::Slow(_)),
            "{mode:?}: {}",
            caller.response().status
        );
        if !matches!(mode, Mode::Slow(_)) {
            api.set(Mode::Pass);
        }
        let answer = caller.response();
        println!(
            "{mode:?} for 4 s: a cold request took {:?}",
            began.elapsed()
        );
        assert_eq!(answer.status, 200, "{mode:?}: {}", answer.text());
    }
    api.set(Mode::Pass);
    load.end()
        .assert_all_answered("the API server refuses and is slow");
}

#[test]
fn a_kind_that_is_missing_is_used_when_it_comes() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_kind_that_is_missing") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-kind");
    let api = Api::of(cluster);
    api.set(Mode::Without("http.keda.sh"));
    http_function(&namespace, "unknown", 0, 1);
    let roles = Roles::of(&namespace).kubeconfig(&api.kubeconfig()).start();
    assert_eq!(roles.get("unknown.example", "/").status, 404);
    api.set(Mode::Pass);
    until_served(&roles, "unknown.example");
    namespace.wait_replicas(DEPLOYMENT, "unknown", 0);
}

/// A definition that is deleted takes its objects with it, one by one; one that an API server does not know for a while
/// does not.
#[test]
fn a_kind_that_goes_missing_later_takes_no_function_and_no_replica_with_it() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_kind_that_goes_missing_later") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-later");
    let api = Api::of(cluster);
    http_function(&namespace, "warm", 1, 2);
    http_function(&namespace, "cold", 0, 1);
    http_function(&namespace, "removed", 0, 1);
    let roles = Roles::of(&namespace).kubeconfig(&api.kubeconfig()).start();
    for host in ["warm.example", "cold.example", "removed.example"] {
        until_served(&roles, host);
    }
    for name in ["cold", "removed"] {
        namespace.wait_replicas(DEPLOYMENT, name, 0);
        namespace.wait_pods(&format!("app={name}"), 0);
    }
    let load = Load::mixed(&[roles.activators[0].listen()], "warm.example", "/", 50);
    api.set(Mode::Without("http.keda.sh"));
    until_stale(&roles, 1);
    namespace.delete(HTTP_SCALED, "removed");
    // Kinds are looked for each 10 s: what happens once does not happen again.
    throughout(Duration::from_secs(25), "warm stays", || {
        namespace.replicas(DEPLOYMENT, "warm") == 1
    });
    assert_eq!(roles.get("cold.example", "/").status, 200);
    api.set(Mode::Pass);
    until_stale(&roles, 0);
    until("what was removed meanwhile to be gone", || {
        (roles.get("removed.example", "/").status == 404).then_some(())
    });
    load.end().assert_all_answered("a kind is missing");
    namespace.wait_replicas(DEPLOYMENT, "cold", 0);
}

/// Waits until activator and autoscaler say so of HTTPScaledObjects.
fn until_stale(roles: &Installation, count: u8) {
    let line = format!("zeron_declared_kind_is_stale{{kind=\"HTTPScaledObject\"}} {count}");
    for role in roles.activators.iter().chain(&roles.autoscalers) {
        until(&line, || {
            let text = role.ask("/metrics").ok()?.text();
            text.lines().any(|it| it == line).then_some(())
        });
    }
}
