//! Knative's own answers, recorded, and what goes beyond them.
#![allow(clippy::unwrap_used)]

mod recorded;

use super::*;
use crate::testkit::knative;
use zeron_core::path::{ActivatorProbe, FoundPath};

const BOUNDS: Bounds = Bounds {
    min: 0,
    max: u32::MAX,
    is_reachable: true,
};

fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(1_000 + second)
}

fn scaling() -> KnativeScaling {
    KnativeScaling {
        path: RequestPath::Serverless {
            is_scraped: true,
            is_always_proxied: false,
        },
        ..knative()
    }
}

fn one() -> Replicas {
    Replicas {
        current: 1,
        ready: 1,
    }
}

fn wish(desired: u32) -> Status {
    Status {
        desired: Some(desired),
        excess_burst_capacity: -111.0,
    }
}

fn facts() -> PathFacts {
    PathFacts {
        has_private_service: true,
        has_service: true,
        ..PathFacts::default()
    }
}

/// Inactive since second 0, with activators in the path since then, and one replica left.
fn inactive() -> ServerlessPath {
    let mut path = ServerlessPath::new(at(0));
    let found = FoundPath {
        activity: Activity::NoTraffic,
        since: at(0),
        is_initialized: true,
    };
    let facts = PathFacts {
        found: Some(found),
        proxied_since: Some(at(0)),
        ..facts()
    };
    path.observe(facts, at(0));
    path
}

fn answer(path: &mut ServerlessPath, second: u64, is_activator: bool) {
    let probe = ActivatorProbe {
        at: at(second),
        is_activator,
    };
    let facts = PathFacts {
        probe: Some(probe),
        ..path.facts
    };
    path.observe(facts, at(second));
}

#[test]
fn with_tls_inside_the_cluster_activators_stay_in_the_way_of_what_has_room() {
    let has_room = Status {
        desired: Some(1),
        excess_burst_capacity: 0.0,
    };
    for (is_always_proxied, mode) in [(false, PathMode::Serve), (true, PathMode::Proxy)] {
        let scaling = KnativeScaling {
            path: RequestPath::Serverless {
                is_scraped: true,
                is_always_proxied,
            },
            ..knative()
        };
        let mut path = ServerlessPath::new(at(0));
        path.observe(facts(), at(0));
        path.step(&scaling, BOUNDS, has_room, one(), at(1));
        assert_eq!(path.plan().mode, mode);
    }
}

fn step(path: &mut ServerlessPath, second: u64) -> u32 {
    path.step(&scaling(), BOUNDS, wish(0), one(), at(second))
        .replicas
}

#[test]
fn nothing_is_scaled_before_there_is_a_private_service() {
    let mut path = ServerlessPath::new(at(0));
    let step = path.step(&scaling(), BOUNDS, wish(7), one(), at(0));
    assert_eq!((step.replicas, path.plan().desired), (1, None));
    assert_eq!(path.plan().activators, MIN_ACTIVATORS);
    path.observe(facts(), at(1));
    let step = path.step(&scaling(), BOUNDS, wish(7), one(), at(1));
    assert_eq!((step.replicas, path.plan().desired), (7, Some(7)));
}

#[test]
fn the_last_replica_stays_until_an_activator_has_answered() {
    let mut path = inactive();
    assert_eq!(step(&mut path, 100), 1);
    assert!(path.plan().is_probe_wanted);
    answer(&mut path, 101, false);
    assert_eq!(step(&mut path, 101), 1);
    answer(&mut path, 102, true);
    assert_eq!(step(&mut path, 102), 0);
    assert!(!path.plan().is_probe_wanted);
}

#[test]
fn an_answer_of_long_ago_is_asked_for_again() {
    let mut path = inactive();
    answer(&mut path, 1, true);
    assert_eq!(step(&mut path, 2), 1, "the grace period");
    assert!(!path.plan().is_probe_wanted);
    assert_eq!(step(&mut path, 31), 1);
    assert!(path.plan().is_probe_wanted);
    answer(&mut path, 32, true);
    assert_eq!(step(&mut path, 32), 0);
}

#[test]
fn an_answer_of_before_a_restart_does_not_count() {
    let mut before = inactive();
    answer(&mut before, 100, true);
    let mut path = ServerlessPath::new(at(100));
    path.observe(before.facts, at(100));
    assert_eq!(step(&mut path, 100), 1);
    assert!(path.plan().is_probe_wanted);
}

#[test]
fn what_is_at_zero_is_not_probed() {
    let mut path = inactive();
    let none = Replicas {
        current: 0,
        ready: 0,
    };
    let step = path.step(&scaling(), BOUNDS, wish(0), none, at(500));
    assert_eq!((step.replicas, step.due), (0, None));
    assert!(!path.plan().is_probe_wanted);
}

#[test]
fn what_was_found_counts_once_and_never_lies_ahead() {
    let mut path = ServerlessPath::new(at(0));
    let found = |activity, second| FoundPath {
        activity,
        since: at(second),
        is_initialized: true,
    };
    let say = |found| PathFacts {
        found: Some(found),
        ..facts()
    };
    path.observe(say(found(Activity::Active, 90)), at(5));
    assert_eq!(path.activity(), (Activity::Active, at(5)));
    path.observe(say(found(Activity::TimedOut, 1)), at(6));
    assert_eq!(path.activity(), (Activity::Active, at(5)));
}

#[test]
fn what_was_found_goes_nowhere_near_zero_before_it_was_counted_here() {
    let mut path = ServerlessPath::new(at(600));
    let found = FoundPath {
        activity: Activity::Active,
        since: at(0),
        is_initialized: true,
    };
    let facts = PathFacts {
        found: Some(found),
        ..facts()
    };
    path.observe(facts, at(600));
    path.count_from(at(600));
    assert_eq!(step(&mut path, 602), 1);
    assert_eq!(path.activity(), (Activity::Active, at(0)));
    step(&mut path, 660);
    assert_eq!(path.activity(), (Activity::NoTraffic, at(660)));

    let mut path = inactive();
    path.count_from(at(600));
    answer(&mut path, 629, true);
    assert_eq!(step(&mut path, 629), 1, "the grace period");
    answer(&mut path, 630, true);
    assert_eq!(step(&mut path, 630), 0);
}

#[test]
fn no_decision_yet_leaves_what_runs_as_it_is() {
    let mut path = inactive();
    let unknown = Status {
        desired: None,
        excess_burst_capacity: 5.0,
    };
    let step = path.step(&scaling(), BOUNDS, unknown, one(), at(900));
    assert_eq!(step.replicas, 1);
    let plan = path.plan();
    assert_eq!((plan.desired, plan.mode), (None, PathMode::Proxy));
}
