//! Messages in a real broker that pods need not reach: the test consumes them.

use std::time::{Duration, Instant};

use zeron_tests::until;

use super::declare::{Scaled, example, function};
use super::site::{DEPLOYMENT, Site, topic};

const HPA: &str = "autoscaling/v2/HorizontalPodAutoscaler";

#[test]
fn a_backlog_for_ten_replicas_is_one_write_and_none_is_another() {
    const TEST: &str = "a_backlog_for_ten_replicas_is_one_write";
    let Some((site, broker)) = Site::with_kafka(TEST) else {
        return;
    };
    let namespace = &site.namespace;
    let Some(audit) = namespace.cluster().audit() else {
        return zeron_tests::broker::skip(TEST, "the API server's audit log is not here");
    };
    let topic = topic(broker, "jobs", 10);
    topic.produce(100);
    function(namespace, "jobs", 0);
    let objects =
        example!(namespace, "kafka.yaml").replace("kafka.default:9092", &broker.address());
    // The Deployment is there already, at zero.
    let scaled = objects.split("---").last().unwrap();
    namespace.apply(scaled);
    namespace.wait_replicas(DEPLOYMENT, "jobs", 10);
    topic.consume_but("jobs", 0);
    namespace.wait_replicas(DEPLOYMENT, "jobs", 0);
    let counts = until("both writes to be logged", || {
        let writes = audit.scale_writes(namespace.name(), "jobs");
        let took_effect = writes.iter().filter(|write| write.took_effect());
        let counts: Vec<_> = took_effect.filter_map(|write| write.replicas()).collect();
        (counts.last() == Some(&0)).then_some(counts)
    });
    assert_eq!(counts, [10, 0]);
}

#[test]
fn zero_waits_for_the_cooldown() {
    let Some((site, broker)) = Site::with_kafka("zero_waits_for_the_cooldown") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "cooling", 1);
    topic.produce(20);
    function(namespace, "cooling", 0);
    namespace.apply(&Scaled::new("cooling", broker).cooldown(6).yaml());
    namespace.wait_replicas(DEPLOYMENT, "cooling", 2);
    let consumed = Instant::now();
    topic.consume_but("cooling", 0);
    namespace.wait_replicas(DEPLOYMENT, "cooling", 0);
    // The last sight of work was up to an interval earlier.
    let waited = consumed.elapsed();
    assert!(waited >= Duration::from_secs(4), "{waited:?}");
}

#[test]
fn a_source_is_asked_once_per_polling_interval() {
    let Some((site, broker)) = Site::with_kafka("a_source_is_asked_once_per_polling_interval")
    else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "polled", 1);
    function(namespace, "polled", 0);
    topic.produce(10);
    namespace.apply(&Scaled::new("polled", broker).interval(8).yaml());
    namespace.wait_replicas(DEPLOYMENT, "polled", 1);
    topic.produce(10);
    namespace.wait_replicas(DEPLOYMENT, "polled", 2);
    // The first answer of a broker may take long; later ones come when they are asked for.
    let polled = Instant::now();
    topic.produce(10);
    namespace.wait_replicas(DEPLOYMENT, "polled", 3);
    let waited = polled.elapsed();
    assert!(
        waited > Duration::from_secs(3),
        "asked again after {waited:?}"
    );
    assert!(
        waited < Duration::from_secs(25),
        "asked again after {waited:?}"
    );
}

#[test]
fn no_horizontal_pod_autoscaler_is_made() {
    let Some((site, broker)) = Site::with_kafka("no_horizontal_pod_autoscaler_is_made") else {
        return;
    };
    let namespace = &site.namespace;
    let audit = namespace.cluster().audit();
    let topic = topic(broker, "alone", 1);
    topic.produce(30);
    function(namespace, "alone", 0);
    namespace.apply(&Scaled::new("alone", broker).yaml());
    namespace.wait_replicas(DEPLOYMENT, "alone", 3);
    namespace.wait_pods("app=alone", 3);
    assert!(namespace.list(HPA, "").is_empty());
    let made = audit.map(|audit| audit.entries()).unwrap_or_default();
    let is_ours = |entry: &&zeron_tests::cluster::Entry| {
        let object = &entry.0["objectRef"];
        object["resource"] == "horizontalpodautoscalers"
            && object["namespace"] == namespace.name()
            && entry.verb() == "create"
    };
    assert_eq!(made.iter().filter(is_ours).count(), 0);
}
