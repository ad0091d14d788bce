//! Autoscalers and activators are replaced by those of the next build, and by those of this one again.
#![cfg(debug_assertions)]

use std::collections::BTreeSet;
use std::time::Duration;

use zeron_tests::cluster::{Cluster, Entry, Installation, Namespace, Role, Roles};
use zeron_tests::load::{Load, Sender};
use zeron_tests::process::Signal;
use zeron_tests::until;

use super::declare::{DEPLOYMENT, Function, POD, eager, http_function, until_served};
use super::restarts::{addresses, replace};
use super::way::Way;

const HOST: &str = "steady.example";

#[test]
fn an_upgrade_and_its_way_back_lose_no_request_and_no_count() {
    let Some(cluster) = Cluster::get("kubernetes_faults::an_upgrade_and_its_way_back") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-upgrade");
    Function::new("steady", 1).apply(&namespace);
    // A report that lacks what moves from one activator to the other would be a replica less.
    eager(&namespace, "steady", 1, 10);
    http_function(&namespace, "cold", 0, 1);
    let mut roles = Roles::of(&namespace)
        .activators(2)
        .autoscalers(2)
        .autoscaler_args(&["--shards", "2"])
        .start();
    until_served(&roles, HOST);
    let way = Way::to(&addresses(&roles));
    // Two replicas' worth is 11 to 20, which one moment decides. So long do they take that a stall of seconds ends few.
    let sender = Sender::get(way.address, HOST, "/work?ms=12000");
    let load = Load::held(&sender, 19, Duration::from_secs(12));
    namespace.wait_replicas(DEPLOYMENT, "steady", 2);
    namespace.wait_pods("app=steady", 2);
    let (pods, audit) = (pods(&namespace), cluster.audit());
    for (is_next, version) in [(true, 2), (false, 1)] {
        for number in 0..roles.autoscalers.len() {
            replace_autoscaler(&mut roles, number, is_next);
        }
        for number in 0..roles.activators.len() {
            let heard = connections(&roles.activators[number], version);
            replace(&mut roles, number, &way, HOST, |role| {
                role.set_next_build(is_next);
            });
            until(&format!("version {version} to be spoken"), || {
                let now = connections(&roles.activators[number], version);
                (now >= heard + roles.autoscalers.len()).then_some(())
            });
        }
        assert_eq!(roles.get("cold.example", "/").status, 200);
    }
    load.goes_on();
    // Before it ends, one request after the other.
    let writes = audit
        .iter()
        .flat_map(|audit| audit.scale_writes(namespace.name(), "steady"))
        .filter(Entry::took_effect);
    let counts: Vec<_> = writes.filter_map(|write| write.replicas()).collect();
    assert!(counts.iter().all(|&count| count >= 2), "{counts:?}");
    assert!(self::pods(&namespace).is_superset(&pods), "one was stopped");
    load.end()
        .assert_all_answered("an upgrade and its way back");
    for (name, count) in [("steady", 1), ("cold", 0)] {
        namespace.wait_replicas(DEPLOYMENT, name, count);
    }
}

fn pods(namespace: &Namespace) -> BTreeSet<String> {
    let pods = namespace.list(POD, "app=steady");
    let uid = |pod: &serde_json::Value| pod["metadata"]["uid"].as_str().unwrap().to_owned();
    pods.iter().map(uid).collect()
}

/// One ends and gives its shards to the other; its successor takes its share.
fn replace_autoscaler(roles: &mut Installation, number: usize, is_next: bool) {
    let role = &mut roles.autoscalers[number];
    role.signal(Signal::TERM);
    let status = role.wait();
    assert!(status.success(), "{status}");
    role.set_next_build(is_next);
    role.restart();
    for role in &roles.autoscalers {
        until("each to hold one of two shards", || {
            let answer = role.ask("/metrics").ok()?;
            let has_one = |line: &str| line == "zeron_autoscaler_shards_held 1";
            answer.text().lines().any(has_one).then_some(())
        });
    }
}

/// How often an activator has agreed upon a version with an autoscaler.
fn connections(role: &Role, version: u32) -> usize {
    let field = format!("\"version\":{version}");
    let log = role.log();
    let agreed = log
        .lines()
        .filter(|line| line.contains("connected to an autoscaler"));
    agreed.filter(|line| line.contains(&field)).count()
}
