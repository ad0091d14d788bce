//! To zero, and what keeps a revision from it.

use std::time::{Duration, Instant};

use serde_json::json;
use zeron_tests::knative::{Knative, Template, side_by_side};
use zeron_tests::wait::throughout;

use crate::side;

/// The stable window of a [`Template`], and the grace period of the test cluster.
const SIX: Duration = Duration::from_secs(6);
/// Conditions are stamped to the second.
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_leads_to_zero_and_what_keeps_a_revision_from_it() {
    const TEST: &str = "what_leads_to_zero_and_what_keeps_a_revision_from_it";
    let Some(knative) = Knative::get(TEST, side()) else {
        return;
    };
    let claims = zeron_tests::claims![
        without_requests_a_revision_goes_to_zero_after_its_window_and_the_grace_period,
        where_requests_went_to_activators_all_the_time_the_grace_period_is_over,
        a_request_to_a_revision_at_zero_waits_for_its_pod,
        pods_are_kept_for_the_retention_period,
        a_revision_that_no_route_leads_to_keeps_no_minimum,
        a_minimum_is_kept_without_requests,
    ];
    side_by_side(&knative, claims);
}

fn without_requests_a_revision_goes_to_zero_after_its_window_and_the_grace_period(
    knative: &Knative,
) {
    let namespace = knative.cluster().namespace("kn-zero");
    let template = Template::new().scaling("target-burst-capacity", "0");
    // Whether it is ready may be said when it has been idle for long.
    let revision = knative.revision(&namespace, "idle", &template);
    revision.wait_mode("Serve");
    assert_eq!(revision.request().send("/").unwrap().status, 200);
    let last = Instant::now();
    // It may have been inactive before.
    revision.wait_active("True");
    assert_eq!(revision.wait_active("False"), "NoTraffic");
    assert!(last.elapsed() > SIX - SECOND, "{:?}", last.elapsed());
    revision.wait_mode("Proxy");
    let proxied = Instant::now();
    assert_eq!(revision.replicas(), 1, "it waits for the grace period");
    revision.wait_replicas(0);
    let grace = proxied.elapsed();
    assert!(grace > 2 * SECOND && grace < 4 * SIX, "{grace:?}");
    revision.wait_pods(0);
    assert_eq!(revision.autoscaler()["status"]["desiredScale"], 0);
}

fn where_requests_went_to_activators_all_the_time_the_grace_period_is_over(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-zero");
    let revision = knative
        .revision(&namespace, "fast", &Template::new())
        .ready();
    revision.wait_mode("Proxy");
    zeron_tests::wait::last(SIX);
    revision.wait_active("False");
    let inactive = Instant::now();
    revision.wait_replicas(0);
    let grace = inactive.elapsed();
    assert!(grace < SIX - SECOND, "{grace:?}");
}

fn a_request_to_a_revision_at_zero_waits_for_its_pod(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-from");
    let template = Template::new()
        .scaling("initial-scale", "0")
        .container("args", json!(["--ready-after", "8000"]));
    let revision = knative.revision(&namespace, "slow", &template).ready();
    assert_eq!(revision.replicas(), 0);
    let request = revision.request();
    let cold = std::thread::spawn(move || request.send("/"));
    assert_eq!(revision.wait_active("Unknown"), "Queued");
    let answer = cold.join().unwrap().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-revision"), Some(revision.name()));
    revision.wait_active("True");
}

fn pods_are_kept_for_the_retention_period(knative: &Knative) {
    const RETENTION: Duration = Duration::from_secs(20);
    let namespace = knative.cluster().namespace("kn-keep");
    let template = Template::new().scaling("scale-to-zero-pod-retention-period", "20s");
    let revision = knative.revision(&namespace, "kept", &template).ready();
    revision.wait_active("False");
    let inactive = Instant::now();
    revision.wait_replicas(0);
    let kept = inactive.elapsed();
    assert!(kept > RETENTION - 2 * SECOND, "{kept:?}");
}

fn a_revision_that_no_route_leads_to_keeps_no_minimum(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-reserve");
    let template = Template::new().scaling("min-scale", "2");
    let revision = knative.revision(&namespace, "old", &template).ready();
    revision.wait_pods(2);
    revision.wait_active("True");
    revision.route("reserve");
    revision.wait_autoscaler("to be unreachable", |object| {
        (object["spec"]["reachability"] == "Unreachable").then_some(())
    });
    revision.wait_replicas(0);
}

fn a_minimum_is_kept_without_requests(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-min");
    let template = Template::new().scaling("min-scale", "2");
    let revision = knative.revision(&namespace, "min", &template).ready();
    revision.wait_pods(2);
    let history = revision.history();
    throughout(4 * SIX, "it stays active", || {
        let object = revision.autoscaler();
        let conditions = object["status"]["conditions"].as_array().unwrap();
        let active = conditions.iter().find(|c| c["type"] == "Active").unwrap();
        std::thread::park_timeout(SECOND / 4);
        active["status"] == "True"
    });
    assert_eq!(history.end(), [2]);
}

#[test]
fn nothing_goes_to_zero_where_that_is_switched_off() {
    const TEST: &str = "nothing_goes_to_zero_where_that_is_switched_off";
    let Some(knative) = Knative::alone(TEST, side()) else {
        return;
    };
    let _off = knative.configure("config-autoscaler", &[("enable-scale-to-zero", "false")]);
    let namespace = knative.cluster().namespace("kn-off");
    let revision = knative
        .revision(&namespace, "stays", &Template::new())
        .ready();
    let history = revision.history();
    zeron_tests::wait::last(4 * SIX);
    assert_eq!(history.end(), [1]);
    assert_eq!(revision.wait_active("True"), "");
}
