#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zeron_core::{EndpointId, StartFailure};

use super::*;
use crate::target::{LabelSelector, TargetPort};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn target(name: &str, labels: &[(&str, &str)]) -> ScaleTarget {
    ScaleTarget {
        id: FunctionId::new("ns", "Deployment", name),
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        plural: "deployments".into(),
        name: name.into(),
        namespace: "ns".into(),
        uid: None,
        resource_version: None,
        selector: Arc::new(LabelSelector::from_labels(labels.iter().copied())),
        replicas: Some(1),
        port: TargetPort::First,
        failure: None,
        is_deleting: false,
    }
}

/// A running pod; `more` replaces fields of its status.
fn pod(name: &str, uid: u64, labels: Value, more: Value) -> RawPod {
    let mut status = json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [
        {"type": "Ready", "status": "True"},
    ]});
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    serde_json::from_value(json!({
        "metadata": {"namespace": "ns", "name": name, "labels": labels,
                     "uid": format!("{uid:016x}-0000")},
        "spec": {"nodeName": "n", "containers": [{"name": "app", "ports": [{"containerPort": 80}]}]},
        "status": status,
    }))
    .unwrap()
}

fn table(targets: impl IntoIterator<Item = ScaleTarget>) -> Table {
    let mut table = Table::new(Patience::default());
    for target in targets {
        table.declare(Arc::new(target), at(0));
    }
    table.publications(at(0));
    table
}

/// The only snapshot that changed.
fn changed(table: &mut Table, now: Timestamp) -> Arc<EndpointSnapshot> {
    let (mut changed, _) = table.publications(now);
    assert_eq!(changed.len(), 1, "{changed:?}");
    changed.pop().unwrap().1.unwrap()
}

#[test]
fn a_pod_is_published_the_moment_it_has_an_address_and_only_then() {
    let mut table = table([target("a", &[("app", "a")])]);
    let waiting = json!({"phase": "Pending", "podIP": null, "conditions": []});
    table.apply(&pod("a-1", 7, json!({"app": "a"}), waiting), 1, at(1));
    assert!(table.publications(at(1)).0.is_empty(), "still one pending");
    let unready = json!({"conditions": []});
    table.apply(&pod("a-1", 7, json!({"app": "a"}), unready), 1, at(2));
    let snapshot = changed(&mut table, at(2));
    let endpoint = &snapshot.endpoints[0];
    assert_eq!(endpoint.id, EndpointId(7));
    assert_eq!(endpoint.address, Some("10.0.0.1:80".parse().unwrap()));
    assert!(!endpoint.is_ready && endpoint.probe.is_some());
    assert_eq!((snapshot.pending, snapshot.live()), (0, 1));
    table.apply(&pod("a-1", 7, json!({"app": "a"}), json!({})), 1, at(3));
    assert_eq!(changed(&mut table, at(3)).ready(), 1);
}

#[test]
fn an_event_that_changes_nothing_publishes_nothing() {
    let mut table = table([target("a", &[("app", "a")])]);
    for _ in 0..2 {
        table.apply(&pod("a-1", 7, json!({"app": "a"}), json!({})), 1, at(1));
    }
    changed(&mut table, at(1));
    table.apply(&pod("a-1", 7, json!({"app": "a"}), json!({})), 1, at(2));
    assert!(table.publications(at(2)).0.is_empty());
}

#[test]
fn a_pod_that_terminates_leaves_rotation_at_once() {
    let mut table = table([target("a", &[("app", "a")])]);
    let mut leaving = pod("a-1", 7, json!({"app": "a"}), json!({}));
    table.apply(&leaving, 1, at(1));
    assert_eq!(changed(&mut table, at(1)).ready(), 1);
    leaving.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    table.apply(&leaving, 1, at(2));
    let snapshot = changed(&mut table, at(2));
    assert_eq!((snapshot.ready(), snapshot.live()), (0, 0));
    assert_eq!((snapshot.endpoints.len(), snapshot.pending), (1, 1));
    table.delete(&leaving);
    assert!(changed(&mut table, at(3)).endpoints.is_empty());
}

#[test]
fn a_pod_that_is_evicted_while_it_serves_leaves_rotation_and_is_said() {
    let mut table = table([target("a", &[("app", "a")])]);
    table.apply(&pod("a-1", 7, json!({"app": "a"}), json!({})), 1, at(1));
    changed(&mut table, at(1));
    let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"});
    let mut raw = pod("a-1", 7, json!({"app": "a"}), evicted);
    raw.status.conditions.clear();
    table.apply(&raw, 1, at(2));
    let snapshot = changed(&mut table, at(2));
    assert!(snapshot.endpoints[0].is_draining && snapshot.pending == 1);
    let failure = snapshot.failure.clone().unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.is_final),
        ("Evicted", false)
    );
}

#[test]
fn a_new_address_or_a_new_pod_of_the_same_name_is_published() {
    let mut table = table([target("a", &[("app", "a")])]);
    table.apply(&pod("a-0", 7, json!({"app": "a"}), json!({})), 1, at(1));
    changed(&mut table, at(1));
    let moved = json!({"podIP": "10.0.0.9"});
    table.apply(&pod("a-0", 7, json!({"app": "a"}), moved), 1, at(2));
    let address = changed(&mut table, at(2)).endpoints[0].address;
    assert_eq!(address, Some("10.0.0.9:80".parse().unwrap()));
    table.apply(&pod("a-0", 8, json!({"app": "a"}), json!({})), 1, at(3));
    let snapshot = changed(&mut table, at(3));
    assert_eq!(snapshot.endpoints[0].id, EndpointId(8));
    assert_eq!(snapshot.endpoints.len(), 1);
}

#[test]
fn pods_go_to_every_function_that_selects_them_and_follow_their_labels() {
    let odd = LabelSelector::parse("tier,!canary").unwrap();
    let loose = ScaleTarget {
        selector: Arc::new(odd),
        ..target("loose", &[])
    };
    let mut table = table([
        target("a", &[("app", "a")]),
        target("b", &[("app", "b")]),
        loose,
    ]);
    table.apply(
        &pod("p", 1, json!({"app": "a", "tier": "x"}), json!({})),
        1,
        at(1),
    );
    let names = |table: &mut Table| -> Vec<String> {
        let (changed, _) = table.publications(at(1));
        changed.iter().map(|(id, _)| id.name().to_owned()).collect()
    };
    assert_eq!(names(&mut table), ["a", "loose"]);
    table.apply(
        &pod("p", 1, json!({"app": "b", "tier": "x"}), json!({})),
        1,
        at(1),
    );
    assert_eq!(names(&mut table), ["a", "b"]);
    let canary = json!({"app": "b", "tier": "x", "canary": ""});
    table.apply(&pod("p", 1, canary, json!({})), 1, at(1));
    assert_eq!(names(&mut table), ["loose"]);
}

#[test]
fn a_target_declared_late_finds_its_pods() {
    let mut table = table([]);
    table.apply(
        &pod("p", 1, json!({"app": "a", "x": "y"}), json!({})),
        1,
        at(1),
    );
    let late = target("a", &[("x", "y"), ("app", "a")]);
    table.declare(Arc::new(late), at(1));
    assert_eq!(changed(&mut table, at(1)).ready(), 1);
    // Another selector, another set of pods.
    table.declare(Arc::new(target("a", &[("app", "z")])), at(1));
    assert_eq!(changed(&mut table, at(1)).endpoints.len(), 0);
}

#[test]
fn what_a_full_list_does_not_have_is_gone() {
    let mut table = table([target("a", &[("app", "a")])]);
    table.apply(&pod("p", 1, json!({"app": "a"}), json!({})), 1, at(1));
    table.apply(&pod("q", 2, json!({"app": "a"}), json!({})), 1, at(1));
    table.publications(at(1));
    table.apply(&pod("q", 2, json!({"app": "a"}), json!({})), 2, at(2));
    table.sweep(Some("other"), 2);
    assert!(table.publications(at(2)).0.is_empty());
    table.sweep(Some("ns"), 2);
    let snapshot = changed(&mut table, at(2));
    assert_eq!(snapshot.endpoints[0].id, EndpointId(2));
    assert_eq!(snapshot.endpoints.len(), 1);
}

#[test]
fn an_unschedulable_pod_becomes_final_by_time_alone() {
    let mut table = table([target("a", &[("app", "a")])]);
    let stuck = json!({"phase": "Pending", "podIP": null, "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
         "message": "0/1 nodes are available"},
    ]});
    table.apply(&pod("p", 1, json!({"app": "a"}), stuck), 1, at(10));
    let (_, next) = table.publications(at(10));
    assert_eq!(next, Some(at(15)));
    assert!(table.publications(at(14)).0.is_empty());
    let failure = changed(&mut table, at(15)).failure.clone().unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.is_final),
        ("Unschedulable", true)
    );
    assert_eq!(table.publications(at(16)), (Vec::new(), None));
}

#[test]
fn a_failure_is_not_final_while_another_pod_may_still_come() {
    let mut table = table([ScaleTarget {
        replicas: Some(2),
        ..target("a", &[("app", "a")])
    }]);
    let crashed = json!({"conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "app",
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s x"}}}]});
    let starting = json!({"phase": "Pending", "conditions": []});
    table.apply(&pod("p", 1, json!({"app": "a"}), crashed.clone()), 1, at(1));
    table.apply(&pod("q", 2, json!({"app": "a"}), starting), 1, at(1));
    let hopeful = changed(&mut table, at(1)).failure.clone().unwrap();
    assert!(!hopeful.is_final);
    table.apply(&pod("q", 2, json!({"app": "a"}), crashed), 1, at(1));
    let last = changed(&mut table, at(1)).failure.clone().unwrap();
    assert!(
        last.is_final && last.at != hopeful.at,
        "{hopeful:?} {last:?}"
    );
}

#[test]
fn a_quota_is_said_with_how_many_run() {
    let quota = StartFailure {
        reason: "FailedCreate".to_owned(),
        message: "exceeded quota".to_owned(),
        at: at(1),
        retry_at: None,
        is_final: true,
    };
    let limited = |failure| ScaleTarget {
        replicas: Some(3),
        failure,
        ..target("a", &[("app", "a")])
    };
    let mut table = table([limited(None)]);
    table.declare(Arc::new(limited(Some(quota.clone()))), at(0));
    assert!(changed(&mut table, at(1)).failure.clone().unwrap().is_final);
    table.apply(&pod("p", 1, json!({"app": "a"}), json!({})), 1, at(1));
    let snapshot = changed(&mut table, at(1));
    let failure = snapshot.failure.clone().unwrap();
    assert_eq!(failure.message, "1 of 3 replicas run: exceeded quota");
    assert!(!failure.is_final && snapshot.pending == 2);
    // Nobody asks for it any more: nothing fails.
    table.want(&snapshot_id(), 0, None, at(2), at(2));
    assert_eq!(changed(&mut table, at(2)).failure, None);
}

fn snapshot_id() -> FunctionId {
    FunctionId::new("ns", "Deployment", "a")
}

#[test]
fn a_stale_count_is_ignored_and_a_foreign_one_is_noticed() {
    let counted = |replicas, version: &str| {
        Arc::new(ScaleTarget {
            replicas: Some(replicas),
            resource_version: Some(version.into()),
            ..target("a", &[("app", "a")])
        })
    };
    let (mut table, id) = (table([]), snapshot_id());
    assert_eq!(table.declare(counted(0, "10"), at(0)), None);
    table.want(&id, 3, Some("12"), at(1), at(1));
    let before_the_write = table.declare(counted(0, "11"), at(1));
    assert_eq!((before_the_write, table.wanted(&id)), (None, Some(3)));
    let our_own = table.declare(counted(3, "12"), at(1));
    assert_eq!(our_own, None);
    let foreign = table.declare(counted(5, "13"), at(1));
    assert_eq!(foreign, Some(CountChange { from: 3, to: 5 }));
    let re_created = Arc::new(ScaleTarget {
        uid: Some("another".into()),
        ..(*counted(1, "20")).clone()
    });
    assert_eq!(table.declare(re_created, at(1)), None);
    assert_eq!(table.wanted(&id), Some(1));
}

#[test]
fn a_store_that_was_restored_is_believed_within_a_minute_without_another_event() {
    let counted = |replicas, version: &str| {
        Arc::new(ScaleTarget {
            replicas: Some(replicas),
            resource_version: Some(version.into()),
            ..target("a", &[("app", "a")])
        })
    };
    let mut table = table([]);
    table.declare(counted(1, "9000"), at(0));
    assert_eq!(changed(&mut table, at(0)).pending, 1);
    assert_eq!(table.declare(counted(4, "50"), at(10)), None);
    let (changes, recheck) = table.publications(at(10));
    assert!(changes.is_empty());
    let recheck = recheck.unwrap();
    assert!(recheck <= at(61), "{recheck:?}");
    assert_eq!(changed(&mut table, recheck).pending, 4);
    assert_eq!(table.wanted(&snapshot_id()), Some(4));
    assert_eq!(table.publications(at(100)).1, None);
}

#[test]
fn strings_and_places_are_given_back() {
    let mut table = table([target("a", &[("app", "a")])]);
    let before = table.names.len();
    for round in 0..50 {
        let name = format!("p{round}");
        let raw = pod(&name, round, json!({"app": "a", "pod": name}), json!({}));
        table.apply(&raw, 1, at(1));
        table.delete(&raw);
    }
    assert_eq!((table.names.len(), table.len()), (before, 0));
    assert_eq!((table.pods.len(), table.by_label.len()), (1, 0));
    table.forget(&snapshot_id());
    assert_eq!((table.names.len(), table.targets_by_label.len()), (0, 0));
}

/// 5,000 functions and as many pods in one namespace: an index, no product.
#[test]
fn many_functions_and_pods_are_joined_without_a_product() {
    let name = |index: u64| format!("f{index}");
    let started = Instant::now();
    let mut table = table(
        (0..5000).map(|index| target(&name(index), &[("part-of", "all"), ("app", &name(index))])),
    );
    for index in 0..5000 {
        let labels = json!({"app": name(index), "part-of": "all"});
        table.apply(&pod(&name(index), index, labels, json!({})), 1, at(1));
    }
    assert_eq!(table.publications(at(1)).0.len(), 5000);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    eprintln!("5,000 functions and pods: {took:?}");
}

/// Namespaces at an address, as they are asked for.
fn at_address(table: &mut Table, address: &str) -> Vec<String> {
    let found = table.namespaces_at(address.parse().unwrap());
    let mut found: Vec<_> = found.iter().map(ToString::to_string).collect();
    found.sort_unstable();
    found
}

#[test]
fn whose_an_address_is_follows_every_change_of_pods() {
    let mut table = table([]);
    let put = |table: &mut Table, namespace: &str, name: &str, status: Value, seen: u64| {
        let mut pod = pod(name, 7, json!({}), status);
        pod.metadata.namespace = Some(namespace.to_owned());
        table.apply(&pod, seen, at(1));
    };
    let ip = |address: &str| json!({ "podIP": address });
    put(&mut table, "shop", "early", ip("10.0.0.1"), 1);
    // Asked for the first time: from here on the index is kept.
    assert_eq!(at_address(&mut table, "10.0.0.1"), ["shop"]);
    for (namespace, name) in [("shop", "a"), ("shop", "b"), ("mail", "c")] {
        put(&mut table, namespace, name, ip("192.0.2.1"), 1);
    }
    assert_eq!(at_address(&mut table, "192.0.2.1"), ["mail", "shop"]);
    assert_eq!(at_address(&mut table, "::ffff:192.0.2.1"), ["mail", "shop"]);
    let both = json!({"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}, {"ip": "fd00::9"}]});
    put(&mut table, "mail", "c", both, 1);
    assert_eq!(at_address(&mut table, "192.0.2.1"), ["shop"]);
    for address in ["10.0.0.9", "fd00::9"] {
        assert_eq!(at_address(&mut table, address), ["mail"], "{address}");
    }
    let over = json!({"podIP": "10.0.0.9", "phase": "Succeeded"});
    put(&mut table, "mail", "c", over, 1);
    assert!(at_address(&mut table, "10.0.0.9").is_empty());
    put(&mut table, "shop", "b", ip("192.0.2.1"), 2);
    table.sweep(None, 2);
    assert_eq!(at_address(&mut table, "192.0.2.1"), ["shop"]);
    let mut gone = pod("b", 7, json!({}), json!({}));
    gone.metadata.namespace = Some("shop".to_owned());
    table.delete(&gone);
    assert!(at_address(&mut table, "192.0.2.1").is_empty());
    assert_eq!(
        table.by_address.as_ref().map(addresses::Addresses::len),
        Some(0)
    );
}
