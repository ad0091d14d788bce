//! `horizontalPodAutoscalerConfig.behavior`, without a HorizontalPodAutoscaler.

use std::time::Duration;

use zeron_tests::wait::throughout;

use super::declare::{Scaled, function};
use super::site::{DEPLOYMENT, Site, topic};

fn behavior(fields: &str) -> String {
    format!("advanced: {{ horizontalPodAutoscalerConfig: {{ behavior: {{ {fields} }} }} }}")
}

#[test]
fn a_scale_up_policy_bounds_the_pods_of_a_period() {
    let Some((site, broker)) = Site::with_kafka("a_scale_up_policy_bounds_the_pods") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "slowly", 1).produce(100);
    function(namespace, "slowly", 0);
    let up = behavior("scaleUp: { policies: [{ type: Pods, value: 2, periodSeconds: 120 }] }");
    namespace.apply(&Scaled::new("slowly", broker).with(&up).yaml());
    // The step from zero is KEDA's own, and not bound by the policy: one, and two more.
    namespace.wait_replicas(DEPLOYMENT, "slowly", 3);
    throughout(Duration::from_secs(4), "the period is not over", || {
        namespace.replicas(DEPLOYMENT, "slowly") == 3
    });
}

#[test]
fn without_a_window_fewer_are_enough_at_once() {
    let Some((site, broker)) = Site::with_kafka("without_a_window_fewer_are_enough") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "quickly", 1);
    topic.produce(40);
    function(namespace, "quickly", 0);
    let down = behavior("scaleDown: { stabilizationWindowSeconds: 0 }");
    namespace.apply(
        &Scaled::new("quickly", broker)
            .cooldown(60)
            .with(&down)
            .yaml(),
    );
    namespace.wait_replicas(DEPLOYMENT, "quickly", 4);
    topic.consume_but("quickly", 10);
    namespace.wait_replicas(DEPLOYMENT, "quickly", 1);
}

#[test]
fn by_default_fewer_wait_for_the_stabilization_window() {
    let Some((site, broker)) = Site::with_kafka("by_default_fewer_wait_for_the_window") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "steady", 1);
    topic.produce(40);
    function(namespace, "steady", 0);
    namespace.apply(&Scaled::new("steady", broker).cooldown(60).yaml());
    namespace.wait_replicas(DEPLOYMENT, "steady", 4);
    topic.consume_but("steady", 10);
    throughout(Duration::from_secs(4), "the window is 300 s", || {
        namespace.replicas(DEPLOYMENT, "steady") == 4
    });
}
