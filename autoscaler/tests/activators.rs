//! Two activators and one autoscaler over real loopback sockets: the engine, its hub, its server.
#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::BTreeSet;

use rig::{Activator, Autoscaler, function, soon};
use zeron_core::decision::Rule;
use zeron_wire::{Coverage, Wake};

fn names(names: &[&str]) -> Option<BTreeSet<String>> {
    Some(names.iter().map(|&name| name.to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_activator_holds_everything_up_until_it_is_back_and_both_agree_to_stop() {
    let mut autoscaler = Autoscaler::start(names(&["a", "b"])).await;
    autoscaler.engine.apply(function("f"));
    let a = Activator::start("a", autoscaler.address, (2.0, 2));
    let b = Activator::start("b", autoscaler.address, (2.0, 2));
    autoscaler.covered(&Coverage::Complete).await;
    // Two and two: four replicas, which neither of them alone would ask for.
    autoscaler.asked(|asked| asked.last() == Some(&4)).await;

    // One is killed in the middle of its requests, the other one's are over.
    drop(b);
    let message = "not heard: b".to_owned();
    autoscaler.covered(&Coverage::Partial { message }).await;
    a.load(0.0, 0);
    let is_held = |rule: &Rule| matches!(rule, Rule::Unknown { .. });
    autoscaler
        .status(|status| status.held.iter().any(is_held))
        .await;
    assert_eq!(autoscaler.backend.asked().last(), Some(&4));
    assert!(a.drained().is_empty());

    // It is back, and idle: now both agree.
    let b = Activator::start("b", autoscaler.address, (0.0, 0));
    autoscaler.covered(&Coverage::Complete).await;
    autoscaler.asked(|asked| asked.last() == Some(&0)).await;
    assert_eq!(a.drained(), b.drained());
    assert_eq!(a.drained().concat().len(), 4, "every replica was drained");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wake_is_acknowledged_after_the_back_end_was_told() {
    let autoscaler = Autoscaler::start(None).await;
    autoscaler.engine.apply(function("f"));
    let a = Activator::start("a", autoscaler.address, (0.0, 0));
    autoscaler.covered(&Coverage::Complete).await;
    a.wake("f").await;
    soon(a.woken()).await;
    assert_eq!(autoscaler.backend.asked(), [1]);
    assert_eq!(a.unanswered(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_of_somebody_else_is_left_to_the_activator() {
    let autoscaler = Autoscaler::start(None).await;
    let a = Activator::start("a", autoscaler.address, (0.0, 0));
    autoscaler.covered(&Coverage::Complete).await;
    a.wake("other").await;
    let wake = Wake {
        function: rig::id("other"),
        in_flight: 0,
        queued: 1,
    };
    soon(a.left_alone()).await;
    assert_eq!(a.unanswered(), [wake]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_activators_goodbye_stops_nothing() {
    let autoscaler = Autoscaler::start(names(&["a"])).await;
    autoscaler.engine.apply(function("f"));
    let a = Activator::start("a", autoscaler.address, (1.0, 1));
    autoscaler.covered(&Coverage::Complete).await;
    autoscaler.asked(|asked| asked == [1]).await;
    soon(a.part()).await;
    let message = "no activator is connected".to_owned();
    autoscaler.covered(&Coverage::Partial { message }).await;
    assert_eq!(autoscaler.backend.asked(), [1]);
}
