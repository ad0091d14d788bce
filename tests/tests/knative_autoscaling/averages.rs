//! Panic, and how load is averaged: annotations that are told apart by what the autoscaler says of two revisions which get
//! the same load, of which no measure is so near to a limit that its noise could count.

use std::time::Duration;

use zeron_tests::cluster::Namespace;
use zeron_tests::knative::{Knative, Revision, Template, side_by_side};
use zeron_tests::load::Load;
use zeron_tests::wait::{last, until};

use crate::side;

const METRIC: &str = "autoscaling.internal.knative.dev/v1alpha1/Metric";

/// Long enough to tell its average from that of the newest seconds for a while.
const WINDOW: Duration = Duration::from_secs(40);
/// With so many requests a second, each of which takes so long, 30 are under way.
const RATE: u32 = 10;
const WORK: Duration = Duration::from_secs(3);
/// Two replicas are right for what is under way. A load never has more than 64, whatever becomes of them, which take five.
const TARGET: f64 = 15.0;

#[test]
fn panic_and_averages_are_as_annotations_say() {
    const TEST: &str = "panic_and_averages_are_as_annotations_say";
    let Some(knative) = Knative::get(TEST, side()) else {
        return;
    };
    let claims = zeron_tests::claims![
        a_sudden_load_is_panic_over_the_threshold_and_not_below_it,
        the_panic_window_is_its_percentage_of_the_stable_window,
        a_weighted_average_follows_the_newest_seconds,
    ];
    side_by_side(&knative, claims);
}

/// Two revisions with one replica each, that differ in the value of one annotation.
fn two<'n>(
    knative: &Knative,
    namespace: &'n Namespace,
    key: &str,
    values: [&str; 2],
) -> [Revision<'n>; 2] {
    let begin = |(number, value): (usize, &str)| {
        let template = Template::new()
            .scaling("window", &format!("{}s", WINDOW.as_secs()))
            .scaling("target", &TARGET.to_string())
            .scaling("target-utilization-percentage", "100")
            .scaling("min-scale", "1")
            .scaling("max-scale", "2")
            .scaling(key, value);
        knative.revision(namespace, &format!("rev{number}"), &template)
    };
    let [first, second] = values;
    let both = [begin((0, first)), begin((1, second))];
    both.map(Revision::ready)
}

/// A load on each, in their order, after a window without any.
fn suddenly<const N: usize>(revisions: [&Revision<'_>; N]) -> [Load; N] {
    last(WINDOW);
    revisions.map(|revision| revision.work(RATE, WORK))
}

fn end(loads: impl IntoIterator<Item = Load>) {
    for load in loads {
        load.end().assert_all_answered("load on a revision");
    }
}

fn a_sudden_load_is_panic_over_the_threshold_and_not_below_it(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-panic");
    let key = "panic-threshold-percentage";
    let [low, high] = two(knative, &namespace, key, ["110", "1000"]);
    let loads = suddenly([&low, &high]);
    until("panic, and two replicas by it", || {
        let [figures] = knative.figures([&low])?;
        let is_enough = figures.stable < TARGET;
        (figures.is_panicking && figures.desired >= 2.0 && is_enough).then_some(())
    });
    low.wait_replicas(2);
    // Without panic that takes half a window. One that began meanwhile would last for a whole one.
    high.wait_replicas(2);
    let what = "the autoscaler to speak of it";
    let [figures] = until(what, || knative.figures([&high]));
    assert!(!figures.is_panicking, "{figures:?}");
    end(loads);
}

fn the_panic_window_is_its_percentage_of_the_stable_window(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-window");
    let key = "panic-window-percentage";
    let [tenth, whole] = two(knative, &namespace, key, ["10", "100"]);
    for (revision, length) in [(&tenth, WINDOW / 10), (&whole, WINDOW)] {
        let metric = namespace.get(METRIC, revision.name()).unwrap();
        let nanoseconds = u64::try_from(length.as_nanos()).unwrap();
        assert_eq!(metric["spec"]["panicWindow"], nanoseconds);
    }
    let loads = suddenly([&tenth, &whole]);
    until("the short window to be far ahead", || {
        let [tenth, whole] = knative.figures([&tenth, &whole])?;
        assert_eq!(whole.panic, whole.stable, "one and the same window");
        let is_ahead = tenth.panic > 2.0 * tenth.stable;
        (is_ahead && tenth.stable > 1.0 && whole.stable > 1.0).then_some(())
    });
    end(loads);
}

fn a_weighted_average_follows_the_newest_seconds(knative: &Knative) {
    // What two seconds between decisions make of equal averages is less than half of this.
    const ENOUGH: f64 = 4.0;
    let namespace = knative.cluster().namespace("kn-weighted");
    let key = "metric-aggregation-algorithm";
    let [linear, weighted] = two(knative, &namespace, key, ["linear", "weighted-exponential"]);
    // The one that is to be ahead begins last.
    let loads = suddenly([&linear, &weighted]);
    until("the weighted average to be far ahead", || {
        let [linear, weighted] = knative.figures([&linear, &weighted])?;
        let is_ahead = weighted.stable > 2.0 * linear.stable;
        (is_ahead && linear.stable > ENOUGH).then_some(())
    });
    end(loads);
}
