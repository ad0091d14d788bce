//! Annotation by annotation: how many replicas a load comes to, and how requests go.

use std::time::{Duration, Instant};

use serde_json::json;
use zeron_tests::knative::{Knative, Part, Template, side_by_side};

use crate::side;

const SERVERLESS: &str = "networking.internal.knative.dev/v1alpha1/ServerlessService";
/// What each request takes.
const WORK: Duration = Duration::from_millis(500);
/// How many are under way all the time.
const BUSY: usize = 10;

/// A template whose revisions get one replica for so many requests under way.
fn target(value: &str) -> Template {
    Template::new()
        .scaling("target", value)
        .scaling("target-utilization-percentage", "100")
}

#[test]
fn every_annotation_has_its_effect() {
    const TEST: &str = "every_annotation_has_its_effect";
    let Some(knative) = Knative::get(TEST, side()) else {
        return;
    };
    let claims = zeron_tests::claims![
        as_many_replicas_come_as_the_target_asks_for_and_no_request_is_lost,
        the_limit_of_a_container_is_a_target_and_is_kept,
        requests_a_second_are_counted_where_that_is_the_metric,
        a_maximum_is_kept_under_any_load,
        the_first_request_brings_the_activation_scale,
        without_burst_capacity_requests_go_to_the_pods_and_with_an_unlimited_one_to_activators,
        replicas_stay_for_the_scale_down_delay,
    ];
    side_by_side(&knative, claims);
}

/// What is heard in a stall counts as one second's: it is too much for a short window.
fn calm(template: Template) -> Template {
    template.scaling("panic-threshold-percentage", "1000")
}

fn as_many_replicas_come_as_the_target_asks_for_and_no_request_is_lost(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-target");
    let revision = knative
        .revision(&namespace, "target", &calm(target("3")))
        .ready();
    let history = revision.history();
    let load = revision.held(BUSY, WORK);
    revision.wait_replicas(4);
    revision.wait_pods(4);
    load.end().assert_all_answered("more than the target");
    let most = history.end().into_iter().max().unwrap();
    assert!((4..=6).contains(&most), "{most} replicas");
}

fn the_limit_of_a_container_is_a_target_and_is_kept(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-limit");
    let template = Template::new().field("containerConcurrency", json!(4));
    let revision = knative.revision(&namespace, "limit", &template).ready();
    let load = revision.held(BUSY, WORK);
    // 70 % of 4 is 2.8, and ten of those take four.
    revision.wait_autoscaler("to want at least four", |object| {
        (object["status"]["desiredScale"].as_u64()? >= 4).then_some(())
    });
    load.end().assert_all_answered("a container's limit");
    for _ in 0..10 {
        let answer = revision.request().send("/stats").unwrap();
        assert!(answer.json()["max_in_flight"].as_u64() <= Some(4));
    }
}

fn requests_a_second_are_counted_where_that_is_the_metric(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-rps");
    let template = Template::new()
        .scaling("metric", "rps")
        .scaling("target", "10");
    let revision = knative.revision(&namespace, "rps", &calm(template)).ready();
    let history = revision.history();
    let load = revision.load(25);
    // 25 a second, of which a replica takes 70 % of 10.
    revision.wait_replicas(4);
    load.end().assert_all_answered("requests a second");
    let most = history.end().into_iter().max().unwrap();
    // Counted twice it would be eight.
    assert!((4..8).contains(&most), "{most} replicas");
}

fn a_maximum_is_kept_under_any_load(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-max");
    let template = target("1")
        .scaling("min-scale", "1")
        .scaling("max-scale", "2");
    let revision = knative.revision(&namespace, "max", &template).ready();
    let history = revision.history();
    let load = revision.held(BUSY, WORK);
    revision.wait_replicas(2);
    revision.wait_pods(2);
    zeron_tests::wait::last(Duration::from_secs(6));
    load.end().assert_all_answered("a maximum");
    assert_eq!(history.end(), [1, 2]);
}

fn the_first_request_brings_the_activation_scale(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-activation");
    let template = Template::new()
        .scaling("initial-scale", "0")
        .scaling("activation-scale", "3");
    let revision = knative.revision(&namespace, "three", &template).ready();
    let history = revision.history();
    assert_eq!(revision.request().send("/").unwrap().status, 200);
    // By the time that all are ready the window of one request may be over.
    let counts = history.end();
    assert_eq!(counts[..2], [0, 3], "{counts:?}");
}

fn without_burst_capacity_requests_go_to_the_pods_and_with_an_unlimited_one_to_activators(
    knative: &Knative,
) {
    let namespace = knative.cluster().namespace("kn-burst");
    let begin = |name: &str, capacity: &str| {
        let template = Template::new()
            .scaling("min-scale", "1")
            .scaling("target-burst-capacity", capacity);
        knative.revision(&namespace, name, &template).ready()
    };
    let (direct, proxied) = (begin("direct", "0"), begin("proxied", "-1"));
    direct.wait_mode("Serve");
    let object = namespace.get(SERVERLESS, direct.name()).unwrap();
    assert_eq!(object["spec"]["numActivators"], 2);
    proxied.wait_active("True");
    proxied.wait_mode("Proxy");
    for revision in [direct, proxied] {
        assert_eq!(revision.request().send("/").unwrap().status, 200);
    }
}

fn replicas_stay_for_the_scale_down_delay(knative: &Knative) {
    const DELAY: Duration = Duration::from_secs(20);
    let namespace = knative.cluster().namespace("kn-delay");
    let template = target("3").scaling("scale-down-delay", "20s");
    let revision = knative.revision(&namespace, "delay", &template).ready();
    let load = revision.held(BUSY, WORK);
    revision.wait_replicas(4);
    load.end().assert_all_answered("a delay of scaling down");
    let ended = Instant::now();
    revision.wait_autoscaler("to want fewer", |object| {
        (object["status"]["desiredScale"].as_u64()? < 4).then_some(())
    });
    let stayed = ended.elapsed();
    assert!(stayed > DELAY - Duration::from_secs(4), "{stayed:?}");
}

#[test]
fn a_changed_setting_counts_at_once() {
    const TEST: &str = "a_changed_setting_counts_at_once";
    let Some(knative) = Knative::alone(TEST, side()) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn-live");
    let template = Template::new().scaling("min-scale", "1");
    let revision = knative.revision(&namespace, "live", &template).ready();
    revision.wait_mode("Proxy");
    let before = knative.pods(Part::Autoscaler);
    let setting = knative.configure("config-autoscaler", &[("target-burst-capacity", "0")]);
    revision.wait_mode("Serve");
    drop(setting);
    revision.wait_mode("Proxy");
    assert_eq!(knative.pods(Part::Autoscaler).len(), before.len());
}
