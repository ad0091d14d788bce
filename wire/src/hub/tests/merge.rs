//! Claims about merged load.

use std::collections::BTreeMap;

use proptest::prelude::*;
use zeron_core::{EndpointId, Stat};

use super::rig::{Rig, id, stat};
use super::*;

fn parts(stat: Option<Stat>) -> Option<(f64, f64, u32)> {
    stat.map(|it| (it.average_concurrency, it.request_count, it.in_flight))
}

#[test]
fn the_load_of_all_is_summed() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.report(a, &[stat("f", 1.5, 2), stat("g", 1.0, 1)]);
    rig.report(b, &[stat("f", 0.5, 1)]);
    rig.tick();
    assert_eq!(parts(rig.merged("f")), Some((2.0, 4.0, 3)));
    assert_eq!(parts(rig.merged("g")), Some((1.0, 2.0, 1)));
    assert_eq!(rig.merged("f").unwrap().busy, [(EndpointId(1), 3)]);
}

#[test]
fn two_reports_of_one_second_are_averaged_and_their_requests_summed() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.report(a, &[stat("f", 3.0, 3)]);
    rig.report(a, &[stat("f", 1.0, 1)]);
    rig.tick();
    assert_eq!(parts(rig.merged("f")), Some((2.0, 8.0, 1)));
    rig.report(a, &[stat("f", 3.0, 3)]);
    rig.report(a, &[]);
    rig.tick();
    assert_eq!(
        parts(rig.merged("f")),
        Some((1.5, 6.0, 0)),
        "absent is zero"
    );
}

#[test]
fn a_late_one_goes_on_without_new_requests() {
    let mut rig = Rig::new();
    let a = rig.join("a");
    rig.report(a, &[stat("f", 3.0, 3)]);
    rig.tick();
    rig.tick();
    assert_eq!(parts(rig.merged("f")), Some((3.0, 0.0, 3)));
}

#[test]
fn a_lost_one_goes_on_as_it_was_until_it_is_gone() {
    let mut rig = Rig::new();
    rig.expect(&["a", "b"]);
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.report(b, &[stat("f", 3.0, 3)]);
    rig.beat(&[a]);
    rig.leave(b);
    rig.beat(&[a]);
    assert_eq!(parts(rig.merged("f")), Some((3.0, 6.0, 3)));
    rig.expect(&["a"]);
    rig.beat(&[a]);
    assert_eq!(rig.merged("f"), None);
}

#[test]
fn the_last_requests_before_a_goodbye_are_counted_once() {
    let mut rig = Rig::new();
    let (a, b) = (rig.join("a"), rig.join("b"));
    rig.report(b, &[stat("f", 1.0, 0)]);
    rig.say(b, Said::Goodbye);
    rig.leave(b);
    rig.beat(&[a]);
    assert_eq!(parts(rig.merged("f")), Some((1.0, 2.0, 0)));
    rig.beat(&[a]);
    assert_eq!(rig.merged("f"), None);
}

#[derive(Clone, Debug)]
enum Step {
    /// This activator reports these concurrencies of functions 0, 1, 2; 0 = not in the report.
    Report(usize, [u8; 3]),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let report = (0..3_usize, any::<[u8; 3]>()).prop_map(|(who, load)| {
        let load = load.map(|it| if it % 3 == 0 { 0 } else { it % 16 });
        Step::Report(who, load)
    });
    proptest::collection::vec(prop_oneof![4 => report, 1 => Just(Step::Tick)], 0..60)
}

/// The rule in its plainest form: one activator's reports since the last tick, and its newest.
#[derive(Default)]
struct Plain {
    since: Vec<[u8; 3]>,
    newest: [u8; 3],
}

proptest! {
    /// Whatever order reports come in, the merge is the sum of everybody's mean, of everybody's
    /// requests and of everybody's newest.
    #[test]
    fn the_merge_is_the_sum_of_plain_rules(steps in steps()) {
        let mut rig = Rig::new();
        let seats = ["a", "b", "c"].map(|name| rig.join(name));
        let mut plain: [Plain; 3] = Default::default();
        for step in steps {
            match step {
                Step::Report(who, load) => {
                    plain[who].since.push(load);
                    plain[who].newest = load;
                    let each = load.iter().enumerate().filter(|(_, it)| **it > 0);
                    let stats: Vec<Stat> = each
                        .map(|(at, it)| stat(&at.to_string(), f64::from(*it), u32::from(*it)))
                        .collect();
                    rig.report(seats[who], &stats);
                }
                Step::Tick => {
                    rig.tick();
                    let merged: BTreeMap<_, _> = rig
                        .all_merged()
                        .iter()
                        .map(|it| (it.function.clone(), it.clone()))
                        .collect();
                    for at in 0..3 {
                        let (mut mean, mut requests, mut now) = (0.0, 0.0, 0);
                        for one in &plain {
                            let sum: f64 = one.since.iter().map(|it| f64::from(it[at])).sum();
                            mean += match one.since.len() {
                                0 => f64::from(one.newest[at]),
                                reports => sum / reports as f64,
                            };
                            requests += sum * 2.0;
                            now += u32::from(one.newest[at]);
                        }
                        let it = merged.get(&id(&at.to_string()));
                        let of = |part: fn(&Stat) -> f64| it.map_or(0.0, part);
                        prop_assert!((of(|it| it.average_concurrency) - mean).abs() < 1e-9);
                        prop_assert!((of(|it| it.request_count) - requests).abs() < 1e-9);
                        prop_assert_eq!(it.map_or(0, |it| it.in_flight), now);
                        let busy: u32 = it.map_or(0, |it| it.busy.iter().map(|(_, n)| n).sum());
                        prop_assert_eq!(busy, now);
                    }
                    for one in &mut plain {
                        one.since.clear();
                    }
                }
            }
        }
    }
}
