//! Knative Serving on the test cluster, all of it its own: what the tests with parts of ours take for granted.
#![allow(clippy::unwrap_used)]

use zeron_tests::knative::{Knative, Part, Side, Template};

#[test]
fn a_revision_serves_from_zero_and_goes_back_to_zero() {
    let Some(knative) = Knative::get(
        "knative::a_revision_serves_from_zero_and_goes_back_to_zero",
        Side::Knatives,
    ) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn");
    let revision = knative
        .revision(&namespace, "zero", &Template::new())
        .ready();
    assert_eq!(revision.wait_active("False"), "NoTraffic");
    revision.wait_mode("Proxy");
    revision.wait_replicas(0);
    revision.wait_pods(0);
    let answer = revision.request().send("/").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-revision"), Some(revision.name()));
    revision.wait_active("True");
}

#[test]
fn a_service_gets_ready_by_the_stand_in_for_an_ingress() {
    let Some(knative) = Knative::get(
        "knative::a_service_gets_ready_by_the_stand_in_for_an_ingress",
        Side::Knatives,
    ) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn");
    let _ingresses = knative.ingresses(&namespace);
    knative.service(&namespace, "web", &Template::new());
    let kind = "serving.knative.dev/v1/Service";
    namespace.wait_condition(kind, "web", "Ready", "True");
}

#[test]
fn load_on_a_revision_loses_nothing_while_knatives_own_activator_is_rolled() {
    let Some(knative) = Knative::alone(
        "knative::load_on_a_revision_loses_nothing_while_knatives_own_activator_is_rolled",
        Side::Knatives,
    ) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn");
    let template = Template::new().scaling("min-scale", "1");
    let revision = knative.revision(&namespace, "rolled", &template).ready();
    let history = revision.history();
    let load = revision.load(50);
    knative.roll(Part::Activator);
    load.goes_on();
    knative.roll(Part::Autoscaler);
    load.end()
        .assert_all_answered("Knative rolls its own activator and autoscaler");
    assert_eq!(history.end(), [1], "no replica comes or goes");
}
