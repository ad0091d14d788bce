#![allow(clippy::cast_possible_truncation)]

mod books;
mod drains;
mod endpoints;
mod owners;
mod shared;
mod shares;

use std::num::NonZeroU32;

use tokio::sync::mpsc;
use zeron_core::function::{AdmissionPolicy, Protocol};
use zeron_core::{Endpoint, EndpointId, Function, ObjectRef, StartFailure, Timestamp, Workload};

use super::owners::NOT_YET;
use super::*;
use crate::ring::Peer;

struct Scene {
    function: Arc<FunctionState>,
    autoscaler: mpsc::Receiver<ToAutoscaler>,
}

pub(crate) fn function(limit: u32, admission: AdmissionPolicy) -> Function {
    Function {
        workload: Workload {
            termination_grace: Duration::ZERO,
            start_deadline: Duration::ZERO,
            ..Workload::default()
        },
        concurrency_limit: NonZeroU32::new(limit),
        admission,
        ..Function::new(
            FunctionId::new("default", "Deployment", "f"),
            ObjectRef {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: "default".to_owned(),
                name: "f".to_owned(),
            },
            Protocol::Http1,
        )
    }
}

impl Scene {
    fn new(limit: u32) -> Self {
        Self::with(limit, AdmissionPolicy::default(), true)
    }

    fn with(limit: u32, admission: AdmissionPolicy, is_wake_allowed: bool) -> Self {
        let (sender, autoscaler) = mpsc::channel(1024);
        let config = crate::Config {
            max_queued_bytes: 1 << 20,
            ..crate::Config::default()
        };
        let house = Arc::new(House::new(&config, sender));
        let id = FunctionId::new("default", "Deployment", "f");
        let function_state = FunctionState::new(id, house, Instant::now());
        let routed = RoutedFunction {
            function: Arc::new(function(limit, admission)),
            is_wake_allowed,
            wake_count: 1,
        };
        function_state.configure(&routed, Instant::now());
        Self {
            function: function_state,
            autoscaler,
        }
    }

    fn replicas(&self, ids: &[u64]) {
        let endpoints = ids.iter().map(|id| endpoint(*id)).collect();
        self.observe(endpoints, None);
    }

    fn observe(&self, endpoints: Vec<Endpoint>, failure: Option<StartFailure>) {
        let snapshot = EndpointSnapshot {
            endpoints,
            pending: 0,
            share: None,
            failure,
        };
        self.function.observe(&snapshot, Instant::now());
    }

    /// Beside another activator, `b`.
    fn with_peer(&self) {
        let peer = Peer {
            name: "b".to_owned(),
            address: ([127, 0, 0, 1], 1).into(),
        };
        let house = &self.function.house;
        assert!(house.set_members("a", vec![peer], Instant::now()));
        self.function.reown(Instant::now());
    }

    fn hop(&self) -> Entry {
        self.function.enter(Request {
            at: Instant::now(),
            bytes: 100,
            is_hop: true,
        })
    }

    fn enter(&self) -> Entry {
        self.function.enter(Request {
            at: Instant::now(),
            bytes: 100,
            is_hop: false,
        })
    }

    fn waits(&self) -> Ticket {
        match self.enter() {
            Entry::Waiting(ticket) => ticket,
            other => panic!("it should wait: {other:?}"),
        }
    }

    fn granted(&self) -> Permit {
        match self.enter() {
            Entry::Granted(permit) => permit,
            other => panic!("it should be granted: {other:?}"),
        }
    }

    fn drain(&self, id: u64, victims: Option<&[u64]>) {
        let order = Drain {
            id: DrainId(id),
            function: self.function.id.clone(),
            count: 1,
            victims: victims.map(|ids| ids.iter().map(|id| EndpointId(*id)).collect()),
        };
        self.function.drain(&order, Instant::now());
    }

    fn wakes(&mut self) -> Vec<u32> {
        let mut amounts = Vec::new();
        while let Ok(message) = self.autoscaler.try_recv() {
            if let ToAutoscaler::Wake(wake) = message {
                amounts.push(wake.in_flight + wake.queued);
            }
        }
        amounts
    }

    fn drained(&mut self) -> Vec<(u64, Vec<u64>)> {
        let mut all = Vec::new();
        while let Ok(message) = self.autoscaler.try_recv() {
            if let ToAutoscaler::Drained(drained) = message {
                all.push((
                    drained.id.0,
                    drained.endpoints.iter().map(|e| e.0).collect(),
                ));
            }
        }
        all
    }

    fn load(&self) -> (u32, u32) {
        let load = self.function.load();
        (load.in_flight, load.queued)
    }

    fn budget(&self) -> u64 {
        self.function.house.budget.used()
    }
}

fn endpoint(id: u64) -> Endpoint {
    Endpoint {
        id: EndpointId(id),
        address: Some(([127, 0, 0, 1], 1024 + u16::try_from(id).unwrap_or(0)).into()),
        is_ready: true,
        is_draining: false,
        probe: None,
        is_probe_needed: false,
        replicas: 1,
        shared_by: 1,
    }
}

fn failure(at: u64) -> StartFailure {
    StartFailure {
        reason: "CrashLoopBackOff".to_owned(),
        message: "exit status 1".to_owned(),
        at: Timestamp::from_secs(at),
        retry_at: None,
        is_final: true,
    }
}

async fn now(ticket: Ticket) -> Option<Grant> {
    tokio::time::timeout(Duration::ZERO, ticket.granted())
        .await
        .ok()
}

#[tokio::test(start_paused = true)]
async fn slots_go_to_waiters_in_order_and_newcomers_never_overtake() {
    let scene = Scene::new(1);
    scene.replicas(&[1]);
    let first = scene.granted();
    let (second, third) = (scene.waits(), scene.waits());
    drop(first);
    // The slot is the second's already: a newcomer waits behind the third.
    let fourth = scene.waits();
    let second = now(second).await.unwrap().unwrap();
    assert_eq!(scene.load(), (1, 2));
    drop(second);
    let third = now(third).await.unwrap().unwrap();
    drop(third);
    drop(now(fourth).await.unwrap().unwrap());
    assert_eq!(scene.load(), (0, 0));
    assert_eq!(scene.budget(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_after_its_grant_passes_the_slot_on() {
    let scene = Scene::new(1);
    scene.replicas(&[1]);
    let first = scene.granted();
    let (second, third) = (scene.waits(), scene.waits());
    drop(first);
    drop(second);
    assert!(now(third).await.unwrap().is_ok());
    assert_eq!(scene.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_frees_its_place_and_bytes() {
    let scene = Scene::new(1);
    let waiting: Vec<_> = (0..3).map(|_| scene.waits()).collect();
    assert_eq!((scene.load(), scene.budget()), ((0, 3), 300));
    drop(waiting);
    assert_eq!((scene.load(), scene.budget()), ((0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn entries_and_bytes_are_bounded() {
    let policy = AdmissionPolicy {
        max_queued: 2,
        ..AdmissionPolicy::default()
    };
    let scene = Scene::with(1, policy, true);
    let _waiting = (scene.waits(), scene.waits());
    let Entry::Refused(refusal) = scene.enter() else {
        panic!("the queue is full");
    };
    assert_eq!(refusal.cause, Cause::QueueFull);
    assert!(refusal.retry_after.is_some());

    let policy = AdmissionPolicy {
        max_queued_bytes: 250,
        ..AdmissionPolicy::default()
    };
    let scene = Scene::with(1, policy, true);
    let _waiting = (scene.waits(), scene.waits());
    assert!(matches!(scene.enter(), Entry::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn the_first_waiter_wakes_and_the_next_do_not_until_it_doubles() {
    let mut scene = Scene::new(1);
    let _waiting: Vec<_> = (0..9).map(|_| scene.waits()).collect();
    assert_eq!(scene.wakes(), [1, 2, 4, 8]);
    tokio::time::advance(Duration::from_millis(100)).await;
    let _tenth = scene.waits();
    assert_eq!(scene.wakes(), [10], "it has not helped");
    scene.replicas(&[1]);
    assert_eq!(scene.wakes(), [10], "one replica is not enough for ten");
}

#[tokio::test(start_paused = true)]
async fn no_wake_while_replicas_suffice() {
    let mut scene = Scene::new(0);
    scene.replicas(&[1]);
    let _permits: Vec<_> = (0..100).map(|_| scene.granted()).collect();
    assert!(scene.wakes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_paused_function_at_zero_refuses_and_sleeps_on() {
    let mut scene = Scene::with(1, AdmissionPolicy::default(), false);
    let Entry::Refused(refusal) = scene.enter() else {
        panic!("nobody may wake it");
    };
    assert_eq!(refusal.cause, Cause::Paused);
    assert!(scene.wakes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_refuses_those_who_wait_with_the_platforms_words() {
    let scene = Scene::new(1);
    let ticket = scene.waits();
    scene.observe(Vec::new(), Some(failure(1)));
    let refusal = now(ticket).await.unwrap().unwrap_err();
    assert_eq!(refusal.cause, Cause::StartFailed);
    let message = refusal.message.unwrap();
    assert!(message.contains("CrashLoopBackOff") && message.contains("exit status 1"));
    // The same failure, told again, does not concern whoever came later.
    let later = scene.waits();
    scene.observe(Vec::new(), Some(failure(1)));
    assert!(now(later).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_replica_sends_the_request_back_to_the_head() {
    let scene = Scene::new(1);
    scene.replicas(&[1]);
    let first = scene.granted();
    let second = scene.waits();
    let replica = Arc::clone(&first.replica);
    let (entry, pause) = scene.function.fail_over(first, Instant::now());
    assert!(pause.is_some(), "somebody has to reinstate it");
    let Entry::Waiting(first) = entry else {
        panic!("there is no other replica: {entry:?}");
    };
    scene.function.reinstate(&replica, Instant::now());
    let first = now(first).await.unwrap().unwrap();
    assert_eq!(scene.load(), (1, 1));
    drop(first);
    assert!(now(second).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_replica_sends_the_request_to_another() {
    let scene = Scene::new(1);
    scene.replicas(&[1, 2]);
    let first = scene.granted();
    let (entry, _) = scene.function.fail_over(first, Instant::now());
    let Entry::Granted(permit) = entry else {
        panic!("the other one is free: {entry:?}");
    };
    assert_eq!(permit.replica.id, EndpointId(2));
}

#[tokio::test(start_paused = true)]
async fn a_final_failure_refuses_while_replicas_exist_and_none_is_usable() {
    let scene = Scene::new(1);
    let ticket = scene.waits();
    let starting = Endpoint {
        is_ready: false,
        ..endpoint(1)
    };
    let transient = StartFailure {
        is_final: false,
        ..failure(1)
    };
    scene.observe(vec![starting.clone()], Some(transient));
    assert_eq!(scene.load(), (0, 1), "it may still come");
    scene.observe(vec![starting.clone()], Some(failure(1)));
    let refusal = now(ticket).await.unwrap().unwrap_err();
    assert_eq!(refusal.cause, Cause::StartFailed);
    assert!(
        matches!(scene.enter(), Entry::Refused(_)),
        "and so is who comes later"
    );
    scene.observe(vec![endpoint(1)], Some(failure(1)));
    let permit = scene.granted();
    // The last usable one goes: the failure that is known counts at once.
    let ticket = scene.waits();
    scene.observe(vec![starting], Some(failure(1)));
    assert!(now(ticket).await.unwrap().is_err());
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn draining_and_departed_replicas_get_nothing_new() {
    let scene = Scene::new(0);
    let draining = Endpoint {
        is_draining: true,
        probe: None,
        ..endpoint(1)
    };
    scene.observe(vec![draining, endpoint(2)], None);
    let permits: Vec<_> = (0..8).map(|_| scene.granted()).collect();
    assert!(permits.iter().all(|permit| permit.replica.id.0 == 2));
    scene.observe(Vec::new(), None);
    let _ticket = scene.waits();
    drop(permits);
    assert_eq!(scene.load(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn load_is_reported_once_and_rest_costs_no_report() {
    let scene = Scene::new(0);
    scene.replicas(&[1]);
    let permit = scene.granted();
    let active = scene.function.house.take_active();
    assert_eq!(active.len(), 1);
    tokio::time::advance(Duration::from_millis(500)).await;
    drop(permit);
    tokio::time::advance(Duration::from_millis(500)).await;
    let stat = scene.function.report(Instant::now()).unwrap();
    assert!((stat.average_concurrency - 0.5).abs() < 1e-6, "{stat:?}");
    assert_eq!((stat.request_count, stat.in_flight), (1.0, 0));
    assert!(scene.function.report(Instant::now()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_function_refuses_and_comes_back_when_declared_again() {
    let scene = Scene::new(1);
    let ticket = scene.waits();
    scene.function.retire(Instant::now());
    assert_eq!(
        now(ticket).await.unwrap().unwrap_err().cause,
        Cause::FunctionGone
    );
    assert!(matches!(scene.enter(), Entry::Refused(_)));
    let routed = RoutedFunction {
        function: Arc::new(function(1, AdmissionPolicy::default())),
        is_wake_allowed: true,
        wake_count: 1,
    };
    scene.function.configure(&routed, Instant::now());
    drop(scene.waits());
}
