//! One of two activators ends or is killed, under load.

use std::time::{Duration, Instant};

use zeron_tests::cluster::Namespace;
use zeron_tests::knative::{Knative, Part, Revision, Side, Template};
use zeron_tests::process::{Signal, is_alive, signal};
use zeron_tests::until;
use zeron_tests::wait::last;

use super::replicas::{Two, delete, process, ready_pods, restarts, text, wait_led_to};
use super::shots::{Shots, lost};

/// The kernel's work on the threads of a process that is dead; its listeners are open for as long.
const DYING: Duration = Duration::from_millis(200);

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
    load.end().assert_all_answered("activator ended");
    assert_eq!(history.end(), [1], "no replica comes or goes");
}

#[test]
fn a_killed_activator_loses_what_was_under_way_on_it_at_most() {
    const TEST: &str = "a_killed_activator_loses_what_was_under_way_on_it_at_most";
    let Some(knative) = Knative::alone(TEST, Side::Ours) else {
        return;
    };
    let _two = Two::of(&knative, Part::Activator);
    let namespace = knative.cluster().namespace("kn-f-killed");
    let revision = proxied(&knative, &namespace);
    let pods = ready_pods(&knative, Part::Activator, 2);
    let addresses: Vec<_> = pods.iter().map(|pod| text(pod, "/status/podIP")).collect();
    wait_led_to(&namespace, &revision, &addresses);
    let history = revision.history();
    let shots = Shots::start(&revision.request(), "/work?ms=100", RATE);
    // Some are under way.
    last(Duration::from_secs(2));
    let before = restarts(&knative, Part::Activator);
    let pid = process(&pods[0], "/zeron");
    let killed = Instant::now();
    signal(pid, Signal::KILL);
    until("it to be dead", || (!is_alive(pid)).then_some(()));
    let dead = killed.elapsed();
    until("it to be started again", || {
        (restarts(&knative, Part::Activator) > before).then_some(())
    });
    ready_pods(&knative, Part::Activator, 2);
    wait_led_to(&namespace, &revision, &addresses);
    let shots = shots.end();
    let lost = lost(&shots);
    let under_way = shots
        .iter()
        .filter(|it| it.begun < killed && it.ended > killed)
        .count();
    println!(
        "activator killed: {} sent, {under_way} under way, {} lost",
        shots.len(),
        lost.len()
    );
    for shot in lost {
        let after = shot.begun.saturating_duration_since(killed);
        assert!(
            after < dead + DYING && shot.outcome.is_err(),
            "{after:?} after it was killed, which took {dead:?}: {shot:?}"
        );
    }
    assert_eq!(history.end(), [1], "no replica comes or goes");
}
