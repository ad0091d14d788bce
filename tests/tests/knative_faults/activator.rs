//! One of two activators ends, under load.

use zeron_tests::cluster::Namespace;
use zeron_tests::knative::{Knative, Part, Revision, Side, Template};

use super::replicas::{Two, delete, ready_pods, text, wait_led_to};

const RATE: u32 = 200;

/// All of its requests go through activators, and its count is none of their business.
fn proxied<'n>(knative: &Knative, namespace: &'n Namespace) -> Revision<'n> {
    let template = Template::new()
        .scaling("min-scale", "1")
        .scaling("max-scale", "1")
        .scaling("target-burst-capacity", "-1");
    knative.revision(namespace, "warm", &template).ready()
}

#[test]
fn an_activator_that_ends_under_load_loses_nothing() {
    const TEST: &str = "an_activator_that_ends_under_load_loses_nothing";
    if !zeron_tests::knative::soaks(TEST) {
        return;
    }
    let Some(knative) = Knative::alone(TEST, Side::Ours) else {
        return;
    };
    let _two = Two::of(&knative, Part::Activator);
    let namespace = knative.cluster().namespace("kn-f-activator");
    let revision = proxied(&knative, &namespace);
    let led_to_all = || {
        let pods = ready_pods(&knative, Part::Activator, 2);
        let addresses: Vec<_> = pods.iter().map(|pod| text(pod, "/status/podIP")).collect();
        wait_led_to(&namespace, &revision, &addresses);
        pods
    };
    let pods = led_to_all();
    let history = revision.history();
    let load = revision.load(RATE);
    delete(&knative, &pods[0], &[]);
    led_to_all();
    let outcome = load.end();
    println!(
        "activator ended: {} sent, {} lost, slowest {:?}",
        outcome.sent, outcome.lost, outcome.slowest
    );
    outcome.assert_none_lost();
    assert_eq!(history.end(), [1], "no replica comes or goes");
}
