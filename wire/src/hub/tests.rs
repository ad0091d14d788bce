//! Claims about the hub, without I/O: what it is told, what the engine and the activators hear.
#![allow(clippy::unwrap_used)]

mod drains;
mod merge;
mod rig;

use std::time::Duration;

use super::*;
use crate::message::ToAutoscaler;
use rig::{Rig, id, identity, partial, stat};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// === coverage ===

#[test]
fn without_an_activator_nothing_is_known() {
    let mut rig = Rig::new();
    assert_eq!(rig.coverage(), partial("no activator is connected"));
    rig.tick();
    assert_eq!(rig.coverage(), partial("no activator is connected"));
}

#[test]
fn it_is_complete_after_a_report_that_is_merged() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.tick();
    assert_eq!(rig.coverage(), partial("not heard: a"));
    rig.report(a, &[stat("f", 1.0, 1)]);
    assert_eq!(rig.coverage(), partial("not heard: a"), "not merged yet");
    rig.take();
    rig.tick();
    let told = rig.take();
    assert!(matches!(told[0], ToAutoscaler::Stats(_)), "the load first");
    assert_eq!(told[1], ToAutoscaler::Coverage(Coverage::Complete));
}

#[test]
fn an_expected_activator_that_never_came_is_named() {
    let mut rig = Rig::new();
    rig.expect(&["a", "b"]);
    let a = rig.join("a");
    rig.beat(&[a]);
    assert_eq!(rig.coverage(), partial("not heard: b"));
    let b = rig.join("b");
    rig.beat(&[a, b]);
    assert_eq!(rig.coverage(), Coverage::Complete);
}

#[test]
fn a_silent_connection_is_not_heard() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.beat(&[a, b]);
    rig.beat(&[a]);
    rig.beat(&[a]);
    assert_eq!(rig.coverage(), Coverage::Complete, "late is not silent");
    rig.beat(&[a]);
    assert_eq!(rig.coverage(), partial("not heard: b"));
}

#[test]
fn a_lost_one_is_unknown_until_it_is_gone_and_a_window_more() {
    let mut rig = Rig::new();
    rig.expect(&["a", "b"]);
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.beat(&[a, b]);
    rig.leave(b);
    assert_eq!(rig.coverage(), partial("not heard: b"), "at once");
    for _ in 0..300 {
        rig.beat(&[a]);
    }
    assert_eq!(rig.coverage(), partial("not heard: b"));
    rig.expect(&["a"]);
    rig.beat(&[a]);
    assert_eq!(rig.coverage(), partial("gone without a goodbye: b"));
    for _ in 0..60 {
        rig.beat(&[a]);
    }
    assert_eq!(rig.coverage(), Coverage::Complete);
}

#[test]
fn where_nobody_says_who_is_expected_connections_count() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.beat(&[a, b]);
    rig.leave(b);
    assert_eq!(rig.coverage(), partial("gone without a goodbye: b"));
    for _ in 0..61 {
        rig.beat(&[a]);
    }
    assert_eq!(rig.coverage(), Coverage::Complete);
}

#[test]
fn after_a_goodbye_nothing_is_unknown() {
    let mut rig = Rig::new();
    rig.expect(&["a", "b"]);
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.beat(&[a, b]);
    rig.say(b, Said::Goodbye);
    assert_eq!(rig.coverage(), Coverage::Complete);
    rig.leave(b);
    rig.beat(&[a]);
    assert_eq!(
        rig.coverage(),
        Coverage::Complete,
        "although it is expected"
    );
    let b = rig.join("b");
    rig.leave(b);
    assert_eq!(rig.coverage(), partial("not heard: b"), "it was back");
}

#[test]
fn the_last_goodbye_leaves_nobody_to_hear() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.beat(&[a]);
    rig.say(a, Said::Goodbye);
    rig.leave(a);
    assert_eq!(rig.coverage(), partial("no activator is connected"));
}

// === names ===

#[test]
fn a_name_belongs_to_its_identity_while_it_lives() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.beat(&[a]);
    let forged = rig.try_join("a", identity("somebody-else"));
    assert_eq!(forged.unwrap_err(), JoinRefused::NameTaken);
    assert_eq!(rig.coverage(), Coverage::Complete);
    let bound = Identity {
        name: Some("b".to_owned()),
        ..identity("activator")
    };
    let other_name = rig.try_join("a", bound);
    assert_eq!(other_name.unwrap_err(), JoinRefused::NotItsName);
}

#[test]
fn the_same_activator_takes_its_place_again_and_its_old_connection_counts_no_more() {
    let mut rig = Rig::new();
    let old = rig.join("a");
    let new = rig.join("a");
    rig.leave(old);
    rig.report(old, &[stat("f", 9.0, 9)]);
    rig.beat(&[new]);
    assert_eq!(rig.coverage(), Coverage::Complete);
    assert_eq!(rig.merged("f"), None);
}

// === wake-ups ===

#[test]
fn a_wake_carries_what_all_have_and_is_answered_to_those_who_asked() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.report(a, &[stat("f", 3.0, 3)]);
    rig.take();
    rig.wake(b, "f", 0, 2);
    let wake = Wake {
        function: id("f"),
        in_flight: 3,
        queued: 2,
    };
    assert_eq!(rig.take(), [ToAutoscaler::Wake(wake)]);
    rig.order(ToActivator::Woken(id("f")));
    rig.order(ToActivator::Woken(id("f")));
    assert_eq!(rig.orders(b), [ToActivator::Woken(id("f"))]);
    assert_eq!(rig.orders(a), []);
}

#[test]
fn askers_of_other_autoscalers_functions_are_forgotten() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.wake(a, "f", 0, 1);
    rig.advance(secs(2));
    rig.tick();
    rig.order(ToActivator::Woken(id("f")));
    assert_eq!(rig.orders(a), []);
}
