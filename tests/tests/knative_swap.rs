//! Our autoscaler and activator in the place of Knative's, and Knative's again: under load, in each order, no request is lost
//! and no replica comes or goes.
#![allow(clippy::unwrap_used)]

use zeron_tests::knative::{Knative, Part, Revision, Side, Template};
use zeron_tests::soak::is_soak;

/// Requests a second while parts are replaced.
const RATE: u32 = 200;

/// How often each order is tried in a soak; once in a test run.
const TIMES: usize = 5;

/// What it comes to: two are right for 160 to 320. An autoscaler that begins with replicas looks at its short window for a while,
/// takes none away meanwhile, and what it heard in a stall counts as one second's: its short window is half of the long one.
const REPLICAS: usize = 2;
const TARGET: &str = "160";

/// Swaps both parts in an order and puts them back in another, under a load that asks for the replicas that there are.
fn there_and_back(knative: &Knative, revision: &Revision<'_>, there: [Part; 2], back: [Part; 2]) {
    let load = revision.load(RATE);
    revision.wait_replicas(REPLICAS as u64);
    revision.wait_pods(REPLICAS);
    let history = revision.history();
    for part in there {
        knative.swap(part, Side::Ours);
        load.goes_on();
    }
    for part in back {
        knative.swap(part, Side::Knatives);
        load.goes_on();
    }
    let counts = history.end();
    let order = format!("{there:?} there, {back:?} back");
    load.end().assert_all_answered(&order);
    assert_eq!(counts, [REPLICAS as u64], "{order}");
}

#[test]
fn both_are_swapped_under_load_in_any_order_and_back() {
    const TEST: &str = "both_are_swapped_under_load_in_any_order_and_back";
    let Some(knative) = Knative::alone(TEST, Side::Knatives) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn-swap");
    let template = Template::new()
        .scaling("metric", "rps")
        .scaling("target", TARGET)
        .scaling("target-utilization-percentage", "100")
        .scaling("window", "30s")
        .scaling("panic-window-percentage", "50");
    let revision = knative.revision(&namespace, "steady", &template).ready();
    let (first, second) = (Part::ALL, [Part::Activator, Part::Autoscaler]);
    let times = if is_soak() { TIMES } else { 1 };
    for _ in 0..times {
        there_and_back(&knative, &revision, first, second);
        there_and_back(&knative, &revision, second, first);
    }
}

#[test]
fn requests_are_served_from_zero_with_any_mixture_of_parts() {
    const TEST: &str = "requests_are_served_from_zero_with_any_mixture_of_parts";
    let Some(knative) = Knative::alone(TEST, Side::Knatives) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn-mixed");
    let template = Template::new().scaling("initial-scale", "0");
    let cold = |name: &str| {
        let revision = knative.revision(&namespace, name, &template).ready();
        let answer = revision.request().send("/").unwrap();
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        revision.wait_active("True");
        assert_eq!(revision.wait_active("False"), "NoTraffic", "{name}");
        revision.wait_replicas(0);
    };
    knative.swap(Part::Activator, Side::Ours);
    cold("our-activator");
    knative.swap(Part::Autoscaler, Side::Ours);
    cold("both-ours");
    knative.swap(Part::Activator, Side::Knatives);
    cold("our-autoscaler");
    knative.swap(Part::Autoscaler, Side::Knatives);
    cold("both-theirs");
}
