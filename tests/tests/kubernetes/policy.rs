//! What a ScaledObject may ask for beside its triggers: idle replicas, a least count, a fallback, a formula.

use std::time::{Duration, Instant};

use zeron_tests::broker::Broker;
use zeron_tests::wait::throughout;

use super::declare::{Scaled, function};
use super::site::{DEPLOYMENT, SCALED, Site, topic};

#[test]
fn a_least_count_is_kept_without_work() {
    let Some((site, broker)) = Site::with_kafka("a_least_count_is_kept_without_work") else {
        return;
    };
    let namespace = &site.namespace;
    let _topic = topic(broker, "least", 1);
    function(namespace, "least", 0);
    namespace.apply(
        &Scaled::new("least", broker)
            .with("minReplicaCount: 2")
            .yaml(),
    );
    namespace.wait_replicas(DEPLOYMENT, "least", 2);
    throughout(Duration::from_secs(4), "it does not sleep", || {
        namespace.replicas(DEPLOYMENT, "least") == 2
    });
}

#[test]
fn idle_replicas_are_left_for_the_least_count_and_come_back() {
    let Some((site, broker)) = Site::with_kafka("idle_replicas_are_left_for_the_least_count")
    else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "idle", 1);
    topic.produce(1);
    function(namespace, "idle", 0);
    let counts = "minReplicaCount: 3\n  idleReplicaCount: 1";
    namespace.apply(&Scaled::new("idle", broker).with(counts).yaml());
    namespace.wait_replicas(DEPLOYMENT, "idle", 3);
    topic.consume_but("idle", 0);
    namespace.wait_replicas(DEPLOYMENT, "idle", 1);
}

#[test]
fn a_silent_source_gets_its_fallback_and_says_so() {
    let Some(site) = Site::get("a_silent_source_gets_its_fallback") else {
        return;
    };
    let namespace = &site.namespace;
    let nobody = zeron_tests::free_address().to_string();
    function(namespace, "fallen", 0);
    let fallback = "fallback: { failureThreshold: 1, replicas: 2 }";
    namespace.apply(&Scaled::at("fallen", &nobody).with(fallback).yaml());
    namespace.wait_replicas(DEPLOYMENT, "fallen", 2);
    namespace.wait_reason(SCALED, "fallen", ["Fallback", "True", "FallbackExists"]);
}

#[test]
fn a_silent_source_without_fallback_changes_nothing_and_is_said() {
    let Some(site) = Site::get("a_silent_source_without_fallback_changes_nothing") else {
        return;
    };
    let namespace = &site.namespace;
    let nobody = zeron_tests::free_address().to_string();
    function(namespace, "silent", 2);
    namespace.apply(&Scaled::at("silent", &nobody).yaml());
    namespace.wait_reason(SCALED, "silent", ["Ready", "False", "TriggerError"]);
    let status = namespace.get(SCALED, "silent").unwrap()["status"].clone();
    assert_eq!(
        status["health"]["s0-kafka"]["status"], "Failing",
        "{status:#}"
    );
    throughout(Duration::from_secs(4), "unknown is not zero", || {
        namespace.replicas(DEPLOYMENT, "silent") == 2
    });
}

#[test]
fn the_initial_cooldown_is_waited_for_once() {
    let Some((site, broker)) = Site::with_kafka("the_initial_cooldown_is_waited_for") else {
        return;
    };
    let namespace = &site.namespace;
    let _topic = topic(broker, "initial", 1);
    function(namespace, "initial", 1);
    let began = Instant::now();
    namespace.apply(
        &Scaled::new("initial", broker)
            .with("initialCooldownPeriod: 7")
            .yaml(),
    );
    namespace.wait_replicas(DEPLOYMENT, "initial", 0);
    // The time of creation is kept in whole seconds.
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(6), "{waited:?}");
}

/// Two triggers, `a` and `b`, of topics of their names.
fn two_triggers(broker: &Broker, name: &str) -> String {
    let address = broker.address();
    let trigger = |part: &str| {
        format!(
            "
    - type: kafka
      name: {part}
      metadata: {{ bootstrapServers: '{address}', consumerGroup: {name}, topic: {name}-{part}, lagThreshold: '10', offsetResetPolicy: earliest, allowIdleConsumers: 'true' }}"
        )
    };
    format!(
        "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{ name: {name} }}
spec:
  scaleTargetRef: {{ name: {name} }}
  pollingInterval: 1
  cooldownPeriod: 3
  advanced: {{ scalingModifiers: {{ formula: a + b, target: '10' }} }}
  triggers:{}{}
",
        trigger("a"),
        trigger("b")
    )
}

#[test]
fn a_formula_joins_triggers() {
    let Some((site, broker)) = Site::with_kafka("a_formula_joins_triggers") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "summed-a", 1).produce(20);
    topic(broker, "summed-b", 1).produce(30);
    function(namespace, "summed", 0);
    namespace.apply(&two_triggers(broker, "summed"));
    // Each alone would ask for three at most.
    namespace.wait_replicas(DEPLOYMENT, "summed", 5);
    // The status has a writer of its own.
    namespace.wait(SCALED, "summed", "to name its composite", |object| {
        (object["status"]["compositeScalerName"] == "composite-metric").then_some(())
    });
}
