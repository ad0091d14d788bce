//! Claims about drains that several activators agree on.

use zeron_core::EndpointId;

use super::rig::{Rig, id, stat};
use super::*;
use crate::message::DrainId;

fn victims(drain: &crate::message::Drain) -> Vec<u64> {
    let victims = drain.victims.as_ref().unwrap();
    victims.iter().map(|it| it.0).collect()
}

#[test]
fn a_lone_activator_chooses_by_itself() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    assert_eq!(told.victims, None);
    rig.acknowledge(a, &told, &[2]);
    assert_eq!(rig.drained(), [(10, vec![2])]);
}

#[test]
fn unready_then_idle_then_least_busy_replicas_are_chosen() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true), (3, true), (4, false), (5, true)]);
    let busy = |list: &[(u64, u32)]| zeron_core::Stat {
        busy: list.iter().map(|&(id, n)| (EndpointId(id), n)).collect(),
        ..stat("f", 1.0, 1)
    };
    rig.report(a, &[busy(&[(1, 2), (2, 1)])]);
    rig.report(b, &[busy(&[(2, 2), (3, 1)])]);
    rig.drain(10, 4);
    let told = rig.told_to_drain(a);
    assert_eq!(victims(&told), [4, 5, 3, 1]);
    assert_eq!(rig.told_to_drain(b), told);
}

#[test]
fn all_must_acknowledge_and_the_engine_hears_it_once() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    rig.acknowledge(a, &told, &[2]);
    assert_eq!(rig.drained(), []);
    rig.acknowledge(b, &told, &[2]);
    rig.acknowledge(b, &told, &[2]);
    rig.tick();
    assert_eq!(rig.drained(), [(10, vec![2])]);
}

#[test]
fn an_acknowledgement_of_other_replicas_does_not_count() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    rig.acknowledge(a, &told, &[2]);
    rig.acknowledge(b, &told, &[1]);
    assert_eq!(rig.drained(), []);
}

#[test]
fn an_activator_that_appears_is_told_first_and_must_acknowledge_too() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    rig.acknowledge(a, &told, &[2]);
    let c = rig.join("c");
    assert_eq!(rig.told_to_drain(c), told);
    rig.acknowledge(b, &told, &[2]);
    assert_eq!(rig.drained(), []);
    rig.acknowledge(c, &told, &[]);
    assert_eq!(
        rig.drained(),
        [(10, vec![2])],
        "it did not know that replica"
    );
}

#[test]
fn a_lone_choice_is_made_again_when_another_appears() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let own = rig.told_to_drain(a);
    let b = rig.join("b");
    let told = rig.told_to_drain(b);
    assert_eq!(victims(&told), [2]);
    let again = [
        ToActivator::Cancel(own.id),
        ToActivator::Drain(told.clone()),
    ];
    assert_eq!(rig.orders(a), again);
    rig.acknowledge(a, &own, &[1]);
    rig.acknowledge(b, &told, &[2]);
    assert_eq!(rig.drained(), [], "that was the choice of before");
    rig.acknowledge(a, &told, &[2]);
    assert_eq!(rig.drained(), [(10, vec![2])]);
}

#[test]
fn a_lost_activator_blocks_until_it_is_gone() {
    let mut rig = Rig::new();
    rig.expect(&["a", "b"]);
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    rig.acknowledge(b, &told, &[2]);
    rig.leave(b);
    rig.acknowledge(a, &told, &[2]);
    rig.tick();
    assert_eq!(rig.drained(), [], "it may have put its replica back");
    rig.expect(&["a"]);
    assert_eq!(rig.drained(), [(10, vec![2])]);
}

#[test]
fn a_lost_activator_that_is_back_acknowledges_again() {
    let mut rig = Rig::new();
    rig.expect(&["a", "b"]);
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    rig.acknowledge(a, &told, &[2]);
    rig.leave(b);
    let b = rig.join("b");
    assert_eq!(rig.told_to_drain(b), told);
    assert_eq!(rig.drained(), []);
    rig.acknowledge(b, &told, &[2]);
    assert_eq!(rig.drained(), [(10, vec![2])]);
}

#[test]
fn one_that_was_expected_and_never_came_blocks() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    rig.expect(&["a", "b"]);
    rig.acknowledge(a, &told, &[2]);
    assert_eq!(rig.drained(), []);
    rig.expect(&["a"]);
    assert_eq!(rig.drained(), [(10, vec![2])]);
}

#[test]
fn a_goodbye_acknowledges() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    rig.acknowledge(a, &told, &[2]);
    rig.say(b, Said::Goodbye);
    assert_eq!(rig.drained(), [(10, vec![2])]);
}

#[test]
fn what_is_drained_already_is_not_chosen_again() {
    let mut rig = Rig::new();
    let (a, _b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true), (3, true)]);
    rig.drain(10, 1);
    assert_eq!(victims(&rig.told_to_drain(a)), [3]);
    rig.drain(11, 1);
    assert_eq!(victims(&rig.told_to_drain(a)), [2]);
}

#[test]
fn a_cancelled_and_a_settled_drain_are_forgotten() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true)]);
    rig.drain(10, 1);
    rig.drain(11, 1);
    let told = rig.orders(a);
    let [ToActivator::Drain(first), ToActivator::Drain(second)] = &told[..] else {
        panic!("{told:?}");
    };
    rig.order(ToActivator::Cancel(DrainId(10)));
    rig.order(ToActivator::Settled(DrainId(11)));
    let expected = [
        ToActivator::Cancel(first.id),
        ToActivator::Settled(second.id),
    ];
    assert_eq!(rig.orders(a), expected);
    for seat in [a, b] {
        rig.acknowledge(seat, first, &[2]);
    }
    assert_eq!(rig.drained(), []);
    let c = rig.join("c");
    assert_eq!(rig.orders(c), []);
    assert_eq!(first.function, id("f"));
}

#[test]
fn drains_whose_replicas_all_stay_are_taken_back() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.replicas(&[(1, true), (2, true), (3, true)]);
    rig.drain(10, 1);
    rig.drain(11, 1);
    let told = rig.orders(a);
    let [ToActivator::Drain(first), ToActivator::Drain(second)] = &told[..] else {
        panic!("{told:?}");
    };
    for seat in [a, b] {
        rig.acknowledge(seat, first, &[3]);
    }
    rig.order(ToActivator::Settled(DrainId(10)));
    rig.orders(a);
    rig.keep("other", &[3]);
    rig.keep("f", &[2, 1]);
    assert_eq!(rig.orders(a), [], "of others, or not finished");
    rig.keep("f", &[3]);
    rig.keep("f", &[3]);
    assert_eq!(rig.orders(a), [ToActivator::Cancel(first.id)]);
    // The platform was faster than the engine.
    for seat in [a, b] {
        rig.acknowledge(seat, second, &[2]);
    }
    rig.keep("f", &[2]);
    rig.order(ToActivator::Settled(DrainId(11)));
    assert_eq!(rig.orders(a), [ToActivator::Cancel(second.id)]);
}

#[test]
fn a_settled_drain_is_not_taken_back_for_ever() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.replicas(&[(1, true)]);
    rig.drain(10, 1);
    let told = rig.told_to_drain(a);
    rig.acknowledge(a, &told, &[1]);
    rig.order(ToActivator::Settled(DrainId(10)));
    rig.orders(a);
    for _ in 0..31 {
        rig.beat(&[a]);
    }
    rig.keep("f", &[1]);
    assert_eq!(rig.orders(a), []);
}
