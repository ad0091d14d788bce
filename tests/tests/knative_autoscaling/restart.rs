//! The autoscaler goes and comes back.

use std::time::Duration;

use serde_json::Value;
use zeron_tests::knative::{Knative, NAMESPACE, Part, Template};
use zeron_tests::wait::within;

use crate::side;

#[test]
fn a_new_autoscaler_keeps_the_replicas_that_it_finds() {
    const TEST: &str = "a_new_autoscaler_keeps_the_replicas_that_it_finds";
    let Some(knative) = Knative::alone(TEST, side()) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn-restart");
    // More than nine at once are right for four replicas, up to twelve.
    let template = Template::new()
        .scaling("target", "3")
        .scaling("target-utilization-percentage", "100");
    let revision = knative.revision(&namespace, "kept", &template).ready();
    let load = revision.held(12, Duration::from_secs(1));
    revision.wait_replicas(4);
    revision.wait_pods(4);
    let history = revision.history();
    for pod in knative.pods(Part::Autoscaler) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let now = [
            "delete",
            "pod",
            name,
            "--namespace",
            NAMESPACE,
            "--grace-period=0",
            "--force",
        ];
        knative.cluster().kubectl(&now);
    }
    knative.wait_rolled_out(Part::Autoscaler);
    // Its predecessor's Lease may have to run out.
    within(Duration::from_secs(120), "a new autoscaler to lead", || {
        let leader = knative.leader()?;
        let pods = knative.pods(Part::Autoscaler);
        let is_new = pods.iter().any(|pod| pod["metadata"]["name"] == *leader);
        is_new.then_some(())
    });
    load.goes_on();
    let counts = history.end();
    load.end().assert_all_answered("the autoscaler is killed");
    assert!(counts.iter().all(|count| *count >= 4), "{counts:?}");
    let known = |object: &Value| object["status"]["desiredScale"].as_i64();
    assert!(known(&revision.autoscaler()) >= Some(0));
}
