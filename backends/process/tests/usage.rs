//! What real processes use, children among them.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Rig, function, named};
use zeron_core::usage::{ReplicaUsage, UsageMeter};
use zeron_core::{Backend, Function, FunctionId};

fn measure(meter: &Arc<dyn UsageMeter>, id: &FunctionId) -> Vec<ReplicaUsage> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let functions = BTreeSet::from([id.clone()]);
    let usage = runtime.block_on(meter.usage(&functions)).unwrap();
    usage.replicas[id].clone()
}

/// Measures until it is as `is_it` says of every replica.
fn until(
    meter: &Arc<dyn UsageMeter>,
    id: &FunctionId,
    is_it: impl Fn(&ReplicaUsage) -> bool,
) -> Vec<ReplicaUsage> {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let found = measure(meter, id);
        if !found.is_empty() && found.iter().all(&is_it) {
            return found;
        }
        assert!(std::time::Instant::now() < end, "still {found:#?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn cpu(replica: &ReplicaUsage) -> Option<f64> {
    replica.used.as_ref()?.containers[0].cpu_millis
}

fn memory(replica: &ReplicaUsage) -> f64 {
    let used = replica.used.as_ref();
    used.and_then(|used| used.containers[0].memory_bytes)
        .unwrap_or(0.0)
}

fn shell(script: &str) -> Function {
    let mut function = function(&[]);
    function.workload.command = ["sh", "-c", script].map(str::to_owned).to_vec();
    function.workload.port = None;
    function.workload.readiness.check = zeron_core::workload::ProbeCheck::Started;
    function.workload.requests.cpu_millis = Some(100);
    function
}

#[test]
fn a_replica_that_does_nothing_uses_nothing_and_is_unknown_before_that() {
    let rig = Rig::new();
    let meter = rig.backend.meter();
    let (id, _) = rig.up(named("idle", &["serve"]), 2);
    let first = measure(&meter, &id);
    assert_eq!(first.len(), 2);
    for replica in &first {
        assert!(replica.is_started && replica.is_ready && !replica.is_draining);
        assert!(replica.ready_changed >= replica.started);
        assert_eq!(cpu(replica), None, "a rate takes two looks");
        assert!(memory(replica) > 4096.0);
    }
    let known = until(&meter, &id, |it| cpu(it).is_some());
    assert!(known.iter().all(|it| cpu(it) < Some(500.0)), "{known:#?}");
    rig.backend.scale(&id, 0, &[]);
    rig.wait(&id, |s| s.endpoints.is_empty());
    assert!(measure(&meter, &id).is_empty());
    let nobody = FunctionId::new("default", "Deployment", "nobody");
    assert!(measure(&meter, &nobody).is_empty());
}

/// Each child lives for a fifth of a second: nearly all that the replica uses is theirs, and most of
/// them no look ever sees.
#[test]
fn children_that_come_and_go_count() {
    let rig = Rig::new();
    let meter = rig.backend.meter();
    let script = "while :; do timeout 0.2 sh -c 'while :; do :; done'; done";
    let id = rig.start(shell(script), 1);
    let busy = until(&meter, &id, |it| cpu(it) > Some(50.0));
    assert_eq!(busy[0].requests[0].cpu_millis, Some(100));
}

#[test]
fn a_child_in_a_session_of_its_own_counts() {
    let rig = Rig::new();
    let meter = rig.backend.meter();
    let id = rig.start(shell("setsid sh -c 'while :; do :; done' & wait"), 1);
    until(&meter, &id, |it| cpu(it) > Some(50.0));
}
