#![allow(clippy::unwrap_used)]

use std::num::NonZeroU16;
use std::time::Duration;

use zeron_core::function::Protocol;
use zeron_core::workload::Port;
use zeron_core::{ObjectRef, Workload};

use super::*;

pub(crate) fn function(name: &str, command: &[&str]) -> Function {
    let word = |word: &&str| (*word).to_owned();
    Function {
        workload: Workload {
            command: command.iter().map(word).collect(),
            port: Some(Port::Assigned),
            start_deadline: Duration::from_secs(60),
            ..Workload::default()
        },
        ..Function::new(
            FunctionId::new("default", "Deployment", name),
            ObjectRef {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: "default".to_owned(),
                name: name.to_owned(),
            },
            Protocol::Http1,
        )
    }
}

/// A fleet with one function, whose processes start and answer when the test says so.
struct Rig {
    fleet: Fleet,
    id: FunctionId,
    now: Now,
    spawned: Vec<EndpointId>,
    drained: Vec<EndpointId>,
    retry: Option<Instant>,
}

impl Rig {
    fn new(max_replicas: usize) -> Self {
        let function = function("f", &["run"]);
        let mut rig = Self {
            fleet: Fleet::new(max_replicas),
            id: function.id.clone(),
            now: Now::read(),
            spawned: Vec::new(),
            drained: Vec::new(),
            retry: None,
        };
        rig.apply(function);
        rig
    }

    fn take(&mut self, effects: Effects) {
        self.spawned
            .extend(effects.spawn.iter().map(|order| order.id));
        self.drained.extend(effects.drain);
        if let Some((at, _)) = effects.retry {
            self.retry = Some(at);
        }
    }

    fn apply(&mut self, function: Function) {
        let effects = self.fleet.apply(Arc::new(function), self.now);
        self.take(effects);
    }

    fn scale(&mut self, replicas: u32, victims: &[u64]) {
        let victims: Vec<_> = victims.iter().copied().map(EndpointId).collect();
        let id = self.id.clone();
        let effects = self.fleet.scale(&id, replicas, &victims, self.now).unwrap();
        self.take(effects);
    }

    fn start(&mut self, replica: u64) {
        assert!(self.fleet.begin(EndpointId(replica)));
        let process = Process {
            pid: 1,
            address: None,
            started_at: self.now.timestamp,
        };
        self.fleet.started(EndpointId(replica), process);
    }

    fn ready(&mut self, replica: u64) {
        self.start(replica);
        let effects = self.fleet.ready(EndpointId(replica), self.now);
        self.take(effects);
    }

    fn unready(&mut self, replica: u64) {
        let effects = self.fleet.unready(EndpointId(replica), self.now);
        self.take(effects);
    }

    /// When it last became ready or ceased to be.
    fn ready_changed(&self, replica: u64) -> Option<Timestamp> {
        let entry = self.fleet.entry(&self.id).unwrap();
        let found = entry.replicas.iter().find(|it| it.id.0 == replica);
        found.unwrap().ready_changed
    }

    fn exit(&mut self, replica: u64) {
        let id = EndpointId(replica);
        let effects = self.fleet.gone(id);
        self.take(effects);
        let (reason, message) = ("ExitCode1".to_owned(), "exited".to_owned());
        let effects = self.fleet.ended(id, reason, message, self.now);
        self.take(effects);
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.timestamp = self.now.timestamp + time;
    }

    fn snapshot(&self) -> EndpointSnapshot {
        let snapshot = self.fleet.snapshot(&self.id, self.now.timestamp);
        Arc::unwrap_or_clone(snapshot.unwrap())
    }

    fn spawned(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.spawned)
            .iter()
            .map(|id| id.0)
            .collect()
    }

    fn drained(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.drained)
            .iter()
            .map(|id| id.0)
            .collect()
    }
}

#[test]
fn asking_twice_for_the_same_number_starts_it_once() {
    let mut rig = Rig::new(100);
    rig.scale(3, &[]);
    rig.scale(3, &[]);
    assert_eq!(rig.spawned(), [1, 2, 3]);
    assert_eq!(rig.snapshot().pending, 3);
}

#[test]
fn victims_go_first_then_replicas_that_are_not_ready_then_the_newest() {
    let mut rig = Rig::new(100);
    rig.scale(5, &[]);
    [1, 2, 4, 5]
        .into_iter()
        .for_each(|replica| rig.ready(replica));
    rig.start(3);
    rig.scale(4, &[1]);
    assert_eq!(rig.drained(), [1]);
    rig.scale(3, &[]);
    assert_eq!(rig.drained(), [3]);
    rig.scale(2, &[]);
    assert_eq!(rig.drained(), [5]);
    let snapshot = rig.snapshot();
    assert_eq!((snapshot.ready(), snapshot.live()), (2, 2));
    assert_eq!(snapshot.endpoints.len(), 5);
}

#[test]
fn orders_that_nobody_began_are_withdrawn() {
    let mut rig = Rig::new(100);
    rig.scale(2, &[]);
    rig.scale(0, &[]);
    assert!(!rig.fleet.begin(EndpointId(1)));
    assert!(rig.drained().is_empty());
    assert_eq!(rig.snapshot(), EndpointSnapshot::default());
}

#[test]
fn a_replica_that_is_not_wanted_any_more_when_its_process_runs_is_refused() {
    let mut rig = Rig::new(100);
    rig.scale(1, &[]);
    assert!(rig.fleet.begin(EndpointId(1)));
    rig.scale(0, &[]);
    let process = Process {
        pid: 1,
        address: None,
        started_at: rig.now.timestamp,
    };
    assert_eq!(rig.fleet.started(EndpointId(1), process), None);
}

#[test]
fn draining_replicas_do_not_count_to_the_number_asked_for() {
    let mut rig = Rig::new(100);
    rig.scale(1, &[]);
    rig.ready(1);
    rig.scale(0, &[]);
    rig.scale(1, &[]);
    assert_eq!(rig.spawned(), [1, 2]);
    rig.exit(1);
    assert!(rig.spawned().is_empty());
    assert_eq!(rig.snapshot().failure, None);
}

#[test]
fn another_workload_replaces_replicas_as_their_successors_get_ready() {
    let mut rig = Rig::new(100);
    rig.scale(2, &[]);
    rig.ready(1);
    rig.ready(2);
    rig.spawned();
    rig.apply(function("f", &["other"]));
    assert_eq!((rig.spawned(), rig.drained()), (vec![3, 4], vec![]));
    rig.ready(3);
    assert_eq!(rig.snapshot().ready(), 2);
    assert_eq!(rig.drained(), [2]);
    rig.ready(4);
    assert_eq!(rig.drained(), [1]);
    assert_eq!(rig.snapshot().ready(), 2);
}

#[test]
fn another_policy_replaces_nothing() {
    let mut rig = Rig::new(100);
    rig.scale(1, &[]);
    rig.ready(1);
    rig.spawned();
    let mut other = function("f", &["run"]);
    other.scale.is_reachable = !other.scale.is_reachable;
    rig.apply(other);
    assert_eq!((rig.spawned(), rig.drained()), (vec![], vec![]));
}

#[test]
fn replicas_of_an_older_workload_that_are_not_ready_go_at_once() {
    let mut rig = Rig::new(100);
    rig.scale(1, &[]);
    rig.start(1);
    rig.spawned();
    rig.apply(function("f", &["other"]));
    assert_eq!((rig.spawned(), rig.drained()), (vec![2], vec![1]));
}

#[test]
fn a_fixed_port_allows_one_replica_and_says_so() {
    let mut rig = Rig::new(100);
    let mut fixed = function("f", &["run"]);
    fixed.workload.port = Some(Port::Fixed(NonZeroU16::new(8080).unwrap()));
    rig.apply(fixed.clone());
    rig.scale(2, &[]);
    assert_eq!(rig.spawned(), [1]);
    rig.ready(1);
    let failure = rig.snapshot().failure.unwrap();
    assert_eq!(failure.reason, "FixedPort");
    assert!(failure.message.contains("$(PORT)"), "{}", failure.message);
    // Its successor waits until the port is free.
    fixed.workload.command = vec!["other".to_owned()];
    rig.apply(fixed);
    assert_eq!((rig.spawned(), rig.drained()), (vec![], vec![1]));
    rig.exit(1);
    assert_eq!(rig.spawned(), [2]);
}

#[test]
fn a_crash_loop_tries_one_replica_at_a_time_until_one_is_ready() {
    let mut rig = Rig::new(100);
    rig.scale(3, &[]);
    for replica in 1..=3 {
        rig.start(replica);
    }
    rig.pass(Duration::from_millis(1));
    rig.exit(1);
    rig.exit(2);
    rig.exit(3);
    assert_eq!(rig.spawned(), [1, 2, 3, 4, 5, 6]);
    assert!(!rig.snapshot().failure.unwrap().is_final);
    for replica in 4..=6 {
        rig.start(replica);
    }
    rig.pass(Duration::from_millis(1));
    rig.exit(4);
    rig.exit(5);
    rig.exit(6);
    assert!(rig.spawned().is_empty());
    let failure = rig.snapshot().failure.unwrap();
    assert_eq!(failure.reason, "CrashLoopBackOff");
    assert!(failure.is_final);
    let at = rig.retry.take().unwrap();
    assert_eq!(at - rig.now.instant, Duration::from_millis(100));
    rig.pass(Duration::from_millis(100));
    let id = rig.id.clone();
    let effects = rig.fleet.retry(&id, rig.now);
    rig.take(effects);
    assert_eq!(rig.spawned(), [7]);
    assert!(!rig.snapshot().failure.unwrap().is_final);
    rig.ready(7);
    assert_eq!(rig.spawned(), [8, 9]);
    assert_eq!(rig.snapshot().failure, None);
}

#[test]
fn ten_seconds_of_readiness_end_a_row_of_failures() {
    let mut rig = Rig::new(100);
    rig.scale(1, &[]);
    for replica in 1..=4 {
        rig.ready(replica);
        rig.pass(Duration::from_secs(10));
        rig.exit(replica);
        assert_eq!(rig.retry, None, "each is the first failure of its row");
    }
}

#[test]
fn what_the_limit_leaves_no_room_for_starts_when_another_ends() {
    let mut rig = Rig::new(2);
    rig.scale(2, &[]);
    rig.ready(1);
    rig.ready(2);
    rig.spawned();
    let other = function("g", &["run"]);
    let id = other.id.clone();
    rig.apply(other);
    let effects = rig.fleet.scale(&id, 1, &[], rig.now).unwrap();
    rig.take(effects);
    assert!(rig.spawned().is_empty());
    let starved = rig.fleet.snapshot(&id, rig.now.timestamp).unwrap();
    assert_eq!(starved.failure.as_ref().unwrap().reason, "ReplicaLimit");
    rig.scale(1, &[]);
    rig.exit(2);
    assert_eq!(rig.spawned(), [3]);
}

#[test]
fn an_overdue_replica_is_stopped_and_waiting_requests_are_refused() {
    let mut rig = Rig::new(100);
    rig.scale(1, &[]);
    rig.start(1);
    let effects = rig
        .fleet
        .overdue(EndpointId(1), "not ready".to_owned(), rig.now);
    rig.take(effects);
    assert_eq!(rig.drained(), [1]);
    let failure = rig.snapshot().failure.unwrap();
    assert_eq!(failure.reason, "ProgressDeadlineExceeded");
    assert!(failure.is_final && failure.retry_at.is_some());
}

#[test]
fn a_removed_function_is_forgotten_and_its_processes_are_stopped() {
    let mut rig = Rig::new(100);
    rig.scale(2, &[]);
    rig.ready(1);
    assert!(rig.fleet.begin(EndpointId(2)));
    let id = rig.id.clone();
    let effects = rig.fleet.remove(&id, rig.now);
    rig.take(effects);
    assert_eq!(rig.drained(), [1]);
    assert!(rig.fleet.snapshot(&id, rig.now.timestamp).is_none());
    assert!(!rig.fleet.is_at_rest());
    let process = Process {
        pid: 1,
        address: None,
        started_at: rig.now.timestamp,
    };
    assert_eq!(rig.fleet.started(EndpointId(2), process), None);
    assert!(rig.fleet.is_at_rest());
}

#[test]
fn after_the_end_nothing_is_started() {
    let mut rig = Rig::new(100);
    rig.scale(2, &[]);
    rig.ready(1);
    rig.spawned();
    let effects = rig.fleet.close(rig.now);
    rig.take(effects);
    assert_eq!(rig.drained(), [1]);
    assert!(!rig.fleet.begin(EndpointId(2)));
    rig.scale(5, &[]);
    rig.exit(1);
    assert!(rig.spawned().is_empty());
}

#[test]
fn a_function_at_rest_costs_little() {
    let per_function = size_of::<(FunctionId, Entry)>();
    assert!(per_function <= 72, "{per_function} bytes");
    // No replica, no failure: nothing more on the heap than its definition.
    let mut rig = Rig::new(100);
    rig.scale(3, &[]);
    (1..=3).for_each(|replica| rig.ready(replica));
    rig.scale(0, &[]);
    (1..=3).for_each(|replica| rig.exit(replica));
    let id = rig.id.clone();
    assert_eq!(rig.fleet.entry(&id).unwrap().replicas.capacity(), 0);
    assert!(rig.fleet.owners.is_empty());
}

#[test]
fn a_replica_remembers_when_it_last_became_ready_or_ceased_to_be() {
    let mut rig = Rig::new(8);
    rig.scale(1, &[]);
    assert_eq!(rig.ready_changed(1), None);
    rig.ready(1);
    let first = rig.now.timestamp;
    assert_eq!(rig.ready_changed(1), Some(first));
    rig.pass(Duration::from_secs(5));
    rig.unready(1);
    assert_eq!(rig.ready_changed(1), Some(first + Duration::from_secs(5)));
    rig.pass(Duration::from_secs(5));
    let effects = rig.fleet.ready(EndpointId(1), rig.now);
    rig.take(effects);
    assert_eq!(rig.ready_changed(1), Some(first + Duration::from_secs(10)));
}
