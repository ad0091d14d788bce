//! The autoscaler that leads is killed: another one takes its functions over. Wrong clocks make no difference.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::Value;
use zeron_tests::cluster::{Cluster, Entry, Installation, Namespace, Roles};
use zeron_tests::wait::{COLD, throughout, within};
use zeron_tests::{Raw, broker, clock, until};

use super::declare::{DEPLOYMENT, Function, eager, until_served};

const LEASE: &str = "coordination.k8s.io/v1/Lease";

/// Seconds by which the clock of each process is wrong.
const WRONG: [(&str, i64); 5] = [
    ("autoscaler-0", 540),
    ("autoscaler-1", -420),
    ("activator-0", -240),
    ("activator-1", 180),
    ("controller-0", -660),
];

/// Whom the rule gives the one shard once both are there: which of them starts first may hold it for a moment.
const OWNER: usize = 0;

/// The lease of the one shard.
fn lease(namespace: &Namespace) -> Option<Value> {
    namespace.get(LEASE, "zeron-autoscaler-00-of-1")
}

/// Who holds it.
fn leader(namespace: &Namespace) -> Option<usize> {
    let lease = lease(namespace)?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    holder.strip_prefix("autoscaler-")?.parse().ok()
}

/// Waits until the shard is where it stays.
fn settled(namespace: &Namespace) {
    let leads = || (leader(namespace) == Some(OWNER)).then_some(());
    until("the shard's owner to lead", leads);
}

/// A namespace with two functions, each of which needs a replica for four requests.
fn declared(cluster: &'static Cluster, prefix: &str) -> Namespace {
    cluster.install_crds();
    let namespace = cluster.namespace(prefix);
    for name in ["steady", "growing"] {
        Function::new(name, 1).apply(&namespace);
        eager(&namespace, name, 1, 4);
    }
    namespace
}

#[test]
fn a_killed_leader_is_followed_by_one_that_decides_right() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_killed_leader_is_followed") else {
        return;
    };
    let namespace = declared(cluster, "faults-leader");
    let roles = Roles::of(&namespace)
        .autoscalers(2)
        .autoscaler_args(&["--shards", "1"])
        .start();
    is_followed(&namespace, roles);
}

#[test]
fn clocks_that_differ_by_minutes_change_nothing() {
    const TEST: &str = "kubernetes_faults::clocks_that_differ_by_minutes_change_nothing";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let namespace = declared(cluster, "faults-clocks");
    let mut roles = Roles::of(&namespace)
        .autoscalers(2)
        .activators(2)
        .autoscaler_args(&["--shards", "1"]);
    for (role, seconds) in WRONG {
        match clock::wrong_by(seconds) {
            Ok(variables) => roles = roles.environment(role, variables),
            Err(reason) => return broker::skip(TEST, &reason.to_string()),
        }
    }
    let roles = roles.start();
    settled(&namespace);
    let wrong = renewed(&namespace) - now();
    let (_, expected) = WRONG[OWNER];
    assert!(
        (wrong - expected).abs() < 60,
        "autoscaler-{OWNER}'s clock is wrong by {wrong} s instead of {expected} s"
    );
    leads_on(&namespace);
    is_followed(&namespace, roles);
}

/// Waits until the owner has led for longer than a lease lasts. A stall of some seconds may take it away once; wrong clocks
/// that mattered would again and again.
fn leads_on(namespace: &Namespace) {
    let mut seen = (None, Instant::now());
    within(Duration::from_secs(120), "20 s of one leader", || {
        let lease = lease(namespace)?;
        let now = lease["spec"]["leaseTransitions"].clone();
        if leader(namespace) != Some(OWNER) || seen.0.as_ref() != Some(&now) {
            seen = (Some(now), Instant::now());
        }
        (seen.1.elapsed() > Duration::from_secs(20)).then_some(())
    });
}

/// When the lease was renewed, by its holder's clock.
fn renewed(namespace: &Namespace) -> i64 {
    let lease = lease(namespace).unwrap();
    let renewed = lease["spec"]["renewTime"].clone();
    let renewed: MicroTime = serde_json::from_value(renewed).unwrap();
    renewed.0.as_second()
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// The leader is killed while one function is busy and another gets busy: counts are right before and after.
fn is_followed(namespace: &Namespace, mut roles: Installation) {
    let activators: Vec<_> = roles.activators.iter().map(|role| role.listen()).collect();
    let connect = |number: usize| {
        let client = Raw::connect(activators[number % activators.len()]);
        client.patient(COLD).unwrap()
    };
    for host in ["steady.example", "growing.example"] {
        until_served(&roles, host);
    }
    let mut steady: Vec<_> = (0..8).map(connect).collect();
    for client in &mut steady {
        client.get("steady.example", "/work?ms=50000");
    }
    namespace.wait_replicas(DEPLOYMENT, "steady", 2);
    let audit = namespace.cluster().audit();
    settled(namespace);
    let killed = Instant::now();
    roles.autoscalers[OWNER].kill();
    let mut growing: Vec<_> = (0..12).map(connect).collect();
    for client in &mut growing {
        client.get("growing.example", "/work?ms=35000");
    }
    namespace.wait_replicas(DEPLOYMENT, "growing", 3);
    println!(
        "leader killed: first right decision of the successor after {:?}",
        killed.elapsed()
    );
    assert_eq!(leader(namespace), Some(1 - OWNER));
    throughout(Duration::from_secs(5), "what is needed stays", || {
        namespace.replicas(DEPLOYMENT, "steady") == 2
            && namespace.replicas(DEPLOYMENT, "growing") == 3
    });
    for name in ["steady", "growing"] {
        let writes = audit
            .iter()
            .flat_map(|audit| audit.scale_writes(namespace.name(), name))
            .filter(Entry::took_effect);
        let counts: Vec<_> = writes.filter_map(|write| write.replicas()).collect();
        let needed = if name == "steady" { 2 } else { 3 };
        assert!(
            counts.iter().all(|&count| count >= needed),
            "{name}: {counts:?}"
        );
    }
    for client in steady.iter_mut().chain(&mut growing) {
        assert_eq!(client.response().status, 200);
    }
    for name in ["steady", "growing"] {
        namespace.wait_replicas(DEPLOYMENT, name, 1);
    }
}
