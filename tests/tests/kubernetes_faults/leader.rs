//! The autoscaler that leads is killed: another one takes its functions over.

use std::time::{Duration, Instant};

use zeron_tests::Raw;
use zeron_tests::cluster::{Cluster, Namespace, Roles};
use zeron_tests::until;
use zeron_tests::wait::throughout;

use super::declare::{DEPLOYMENT, Function, eager, until_served};

const LEASE: &str = "coordination.k8s.io/v1/Lease";

/// Who holds the one shard.
fn leader(namespace: &Namespace) -> Option<usize> {
    let lease = namespace.get(LEASE, "zeron-autoscaler-00-of-1")?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    holder.strip_prefix("autoscaler-")?.parse().ok()
}

#[test]
fn a_killed_leader_is_followed_by_one_that_decides_right() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_killed_leader_is_followed") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-leader");
    for name in ["steady", "growing"] {
        Function::new(name, 1).apply(&namespace);
        eager(&namespace, name, 1, 4);
    }
    let mut roles = Roles::of(&namespace)
        .autoscalers(2)
        .autoscaler_args(&["--shards", "1"])
        .start();
    let activator = roles.activators[0].listen();
    for host in ["steady.example", "growing.example"] {
        until_served(&roles, host);
    }
    let mut steady: Vec<_> = (0..8).map(|_| Raw::connect(activator)).collect();
    for client in &mut steady {
        client.get("steady.example", "/work?ms=25000");
    }
    namespace.wait_replicas(DEPLOYMENT, "steady", 2);
    let audit = cluster.audit();
    let old = until("somebody to lead", || leader(&namespace));
    let killed = Instant::now();
    roles.autoscalers[old].kill();
    let mut growing: Vec<_> = (0..12).map(|_| Raw::connect(activator)).collect();
    for client in &mut growing {
        client.get("growing.example", "/work?ms=15000");
    }
    namespace.wait_replicas(DEPLOYMENT, "growing", 3);
    println!(
        "leader killed: first right decision of the successor after {:?}",
        killed.elapsed()
    );
    assert_eq!(leader(&namespace), Some(1 - old));
    throughout(Duration::from_secs(5), "what is needed stays", || {
        namespace.replicas(DEPLOYMENT, "steady") == 2
            && namespace.replicas(DEPLOYMENT, "growing") == 3
    });
    for name in ["steady", "growing"] {
        let writes = audit
            .iter()
            .flat_map(|audit| audit.scale_writes(namespace.name(), name));
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
