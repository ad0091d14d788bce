//! KEDA's annotations that pause, and `restoreToOriginalReplicaCount`.

use std::time::Duration;

use serde_json::{Value, json};
use zeron_tests::cluster::Namespace;
use zeron_tests::until;
use zeron_tests::wait::throughout;

use super::declare::{Scaled, function, http_scaled};
use super::site::{DEPLOYMENT, SCALED, Site, topic};

/// Longer than two polls and a cooldown.
const AWHILE: Duration = Duration::from_secs(4);

/// Takes one of KEDA's annotations away.
fn resume(namespace: &Namespace, name: &str, annotation: &str) {
    let annotations = json!({ format!("autoscaling.keda.sh/{annotation}"): null });
    namespace.patch(
        SCALED,
        name,
        json!({ "metadata": { "annotations": annotations } }),
    );
}

/// Waits until the object says that it is paused.
fn until_paused(namespace: &Namespace, name: &str) {
    namespace.wait_reason(SCALED, name, ["Paused", "True", "ScaledObjectPaused"]);
}

#[test]
fn paused_stays_at_the_count_that_there_is() {
    let Some((site, broker)) = Site::with_kafka("paused_stays_at_the_count") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "paused", 1).produce(20);
    function(namespace, "paused", 0);
    namespace.apply(
        &Scaled::new("paused", broker)
            .annotation("paused", "true")
            .yaml(),
    );
    until_paused(namespace, "paused");
    throughout(AWHILE, "nothing wakes it", || {
        namespace.replicas(DEPLOYMENT, "paused") == 0
    });
    resume(namespace, "paused", "paused");
    namespace.wait_replicas(DEPLOYMENT, "paused", 2);
    namespace.wait_reason(
        SCALED,
        "paused",
        ["Paused", "False", "ScaledObjectUnpaused"],
    );
}

#[test]
fn a_request_wakes_nothing_that_is_paused_at_zero() {
    let Some(site) = Site::get("a_request_wakes_nothing_that_is_paused") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "shut", 0);
    let meta = "annotations: { autoscaling.keda.sh/paused-replicas: '0' }";
    namespace.apply(&http_scaled(
        "shut",
        meta,
        "timeouts: { conditionWait: 2s }",
    ));
    until_paused(namespace, "shut");
    let answer = until("the host to be routed", || {
        Some(site.roles.get("shut.example", "/")).filter(|answer| answer.status != 404)
    });
    assert!(
        matches!(answer.status, 503 | 504),
        "{} {}",
        answer.status,
        answer.text()
    );
    assert_eq!(namespace.replicas(DEPLOYMENT, "shut"), 0);
}

#[test]
fn paused_replicas_goes_to_its_count_and_stays() {
    let Some((site, broker)) = Site::with_kafka("paused_replicas_goes_to_its_count") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "pinned", 1).produce(50);
    function(namespace, "pinned", 0);
    namespace.apply(
        &Scaled::new("pinned", broker)
            .annotation("paused-replicas", "3")
            .yaml(),
    );
    namespace.wait_replicas(DEPLOYMENT, "pinned", 3);
    until_paused(namespace, "pinned");
    let object = namespace.get(SCALED, "pinned").unwrap();
    assert_eq!(object["status"]["pausedReplicaCount"], 3);
    throughout(AWHILE, "no trigger moves it", || {
        namespace.replicas(DEPLOYMENT, "pinned") == 3
    });
    resume(namespace, "pinned", "paused-replicas");
    namespace.wait_replicas(DEPLOYMENT, "pinned", 5);
}

#[test]
fn paused_scale_in_goes_up_and_not_down() {
    let Some((site, broker)) = Site::with_kafka("paused_scale_in_goes_up_and_not_down") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "rising", 1);
    topic.produce(20);
    function(namespace, "rising", 0);
    namespace.apply(
        &Scaled::new("rising", broker)
            .annotation("paused-scale-in", "true")
            .yaml(),
    );
    namespace.wait_replicas(DEPLOYMENT, "rising", 2);
    until_paused(namespace, "rising");
    topic.consume_but("rising", 0);
    throughout(AWHILE, "it does not sleep", || {
        namespace.replicas(DEPLOYMENT, "rising") == 2
    });
    resume(namespace, "rising", "paused-scale-in");
    namespace.wait_replicas(DEPLOYMENT, "rising", 0);
}

#[test]
fn paused_scale_out_goes_down_and_not_up() {
    let Some((site, broker)) = Site::with_kafka("paused_scale_out_goes_down_and_not_up") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "sinking", 1);
    function(namespace, "sinking", 2);
    namespace.apply(
        &Scaled::new("sinking", broker)
            .annotation("paused-scale-out", "true")
            .yaml(),
    );
    namespace.wait_replicas(DEPLOYMENT, "sinking", 0);
    until_paused(namespace, "sinking");
    topic.produce(20);
    throughout(AWHILE, "nothing wakes it", || {
        namespace.replicas(DEPLOYMENT, "sinking") == 0
    });
    resume(namespace, "sinking", "paused-scale-out");
    namespace.wait_replicas(DEPLOYMENT, "sinking", 2);
}

#[test]
fn force_activation_keeps_one_awake_without_work() {
    let Some((site, broker)) = Site::with_kafka("force_activation_keeps_one_awake") else {
        return;
    };
    let namespace = &site.namespace;
    let _topic = topic(broker, "forced", 1);
    function(namespace, "forced", 0);
    namespace.apply(
        &Scaled::new("forced", broker)
            .annotation("force-activation", "true")
            .yaml(),
    );
    namespace.wait_replicas(DEPLOYMENT, "forced", 1);
    namespace.wait_condition(SCALED, "forced", "Active", "True");
    resume(namespace, "forced", "force-activation");
    namespace.wait_replicas(DEPLOYMENT, "forced", 0);
}

#[test]
fn deleting_restores_the_count_that_there_was_where_that_is_asked_for() {
    let Some((site, broker)) = Site::with_kafka("deleting_restores_the_count") else {
        return;
    };
    let namespace = &site.namespace;
    let _topic = topic(broker, "restored", 1);
    function(namespace, "restored", 2);
    let advanced = "advanced: { restoreToOriginalReplicaCount: true }";
    namespace.apply(&Scaled::new("restored", broker).with(advanced).yaml());
    namespace.wait(
        SCALED,
        "restored",
        "to have noted the count",
        |object: &Value| (object["status"]["originalReplicaCount"] == 2).then_some(()),
    );
    namespace.wait_replicas(DEPLOYMENT, "restored", 0);
    namespace.delete(SCALED, "restored");
    namespace.wait_gone(SCALED, "restored");
    namespace.wait_replicas(DEPLOYMENT, "restored", 2);
}

#[test]
fn deleting_leaves_the_count_alone_otherwise() {
    let Some((site, broker)) = Site::with_kafka("deleting_leaves_the_count_alone") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "left", 1).produce(30);
    function(namespace, "left", 0);
    namespace.apply(&Scaled::new("left", broker).yaml());
    namespace.wait_replicas(DEPLOYMENT, "left", 3);
    namespace.delete(SCALED, "left");
    namespace.wait_gone(SCALED, "left");
    throughout(AWHILE, "nobody writes", || {
        namespace.replicas(DEPLOYMENT, "left") == 3
    });
}
