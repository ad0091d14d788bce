//! How a revision begins: its first replicas, and a revision that never gets ready.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zeron_tests::knative::{Knative, Template, side_by_side};
use zeron_tests::wait::throughout;

use crate::side;

const SERVERLESS: &str = "networking.internal.knative.dev/v1alpha1/ServerlessService";
const METRIC: &str = "autoscaling.internal.knative.dev/v1alpha1/Metric";
const AUTOSCALER: &str = "autoscaling.internal.knative.dev/v1alpha1/PodAutoscaler";

#[test]
fn how_a_revision_begins() {
    const TEST: &str = "how_a_revision_begins";
    let Some(knative) = Knative::get(TEST, side()) else {
        return;
    };
    let claims = zeron_tests::claims![
        a_revision_that_begins_with_no_pods_is_ready_without_one,
        a_revision_that_begins_with_three_pods_is_ready_with_three_and_then_goes_to_zero,
        a_revision_that_never_gets_ready_is_given_up_after_its_deadline,
        the_objects_of_a_revision_are_named_as_it_and_owned_by_its_autoscaler,
        a_revision_of_another_class_is_left_alone,
    ];
    side_by_side(&knative, claims);
}

fn a_revision_that_begins_with_no_pods_is_ready_without_one(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-begin");
    let template = Template::new().scaling("initial-scale", "0");
    let revision = knative.revision(&namespace, "none", &template).ready();
    assert_eq!(revision.wait_active("False"), "NoTraffic");
    let history = revision.history();
    assert_eq!(revision.wait_pods(0), Vec::<Value>::new());
    assert_eq!(history.end(), [0]);
}

fn a_revision_that_begins_with_three_pods_is_ready_with_three_and_then_goes_to_zero(
    knative: &Knative,
) {
    let namespace = knative.cluster().namespace("kn-begin");
    let template = Template::new().scaling("initial-scale", "3");
    let revision = knative.revision(&namespace, "three", &template);
    let history = revision.history();
    namespace.wait_condition(
        AUTOSCALER,
        revision.name(),
        "ScaleTargetInitialized",
        "True",
    );
    assert_eq!(revision.autoscaler()["status"]["actualScale"], 3);
    let revision = revision.ready();
    revision.wait_replicas(0);
    let counts = history.end();
    assert!(counts.is_sorted_by(|a, b| a > b), "{counts:?}");
    assert_eq!((counts.first(), counts.last()), (Some(&3), Some(&0)));
}

fn a_revision_that_never_gets_ready_is_given_up_after_its_deadline(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-begin");
    let template = Template::new()
        .annotation("serving.knative.dev/progress-deadline", "5s")
        .container("args", json!(["--never-listen"]));
    let began = Instant::now();
    let revision = knative.revision(&namespace, "never", &template);
    assert_eq!(revision.wait_active("Unknown"), "Queued");
    assert_eq!(revision.wait_active("False"), "TimedOut");
    let given_up = began.elapsed();
    assert!(given_up > Duration::from_secs(33), "{given_up:?}");
    revision.wait_replicas(0);
}

fn the_objects_of_a_revision_are_named_as_it_and_owned_by_its_autoscaler(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-begin");
    let template = Template::new().scaling("metric", "rps");
    let revision = knative.revision(&namespace, "owned", &template).ready();
    let autoscaler = revision.autoscaler();
    for kind in [METRIC, SERVERLESS] {
        let object = namespace.get(kind, revision.name()).unwrap();
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], autoscaler["metadata"]["uid"], "{kind}");
        assert_eq!(owner["controller"], true, "{kind}");
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["serving.knative.dev/revision"], revision.name());
        let annotations = &object["metadata"]["annotations"];
        assert_eq!(annotations["autoscaling.knative.dev/window"], "6s");
    }
    let serverless = namespace.get(SERVERLESS, revision.name()).unwrap();
    let copied = &serverless["metadata"]["annotations"]["autoscaling.knative.dev/metric"];
    assert!(
        copied.is_null(),
        "it would change what Knative's Services get"
    );
    let object = &serverless["spec"]["objectRef"];
    assert_eq!(object["name"], revision.deployment());
    let metric = namespace.get(METRIC, revision.name()).unwrap();
    assert_eq!(metric["spec"]["stableWindow"], 6_000_000_000_u64);
    let target = format!("{}-private", revision.name());
    assert_eq!(metric["spec"]["scrapeTarget"], target);
}

fn a_revision_of_another_class_is_left_alone(knative: &Knative) {
    let namespace = knative.cluster().namespace("kn-begin");
    let template = Template::new().scaling("class", "nobody.example.com");
    let revision = knative.revision(&namespace, "other", &template);
    revision.wait_autoscaler("to be there", |object| (!object.is_null()).then_some(()));
    throughout(Duration::from_secs(5), "nothing is made for it", || {
        std::thread::park_timeout(Duration::from_millis(200));
        namespace.get(SERVERLESS, revision.name()).is_none()
            && revision.autoscaler()["status"]["conditions"].is_null()
    });
}
