//! One Deployment with two triggers is one function: either wakes it, both let it sleep.

use std::time::Duration;

use zeron_tests::broker::Broker;
use zeron_tests::wait::throughout;

use super::declare::{Scaled, example, function, http_scaled};
use super::http::until_routed;
use super::site::{DEPLOYMENT, Guest, SCALED, Site, topic};

/// The example under another name.
fn declare(site: &Guest, broker: &Broker, name: &str) {
    let namespace = &site.namespace;
    let objects = example!(namespace, "http-and-kafka.yaml")
        .replace("orders", name)
        .replace("kafka.default:9092", &broker.address());
    namespace.apply(&objects);
}

#[test]
fn requests_and_messages_each_wake_the_same_deployment_from_zero() {
    let Some((site, broker)) = Site::with_kafka("requests_and_messages_each_wake_it") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "orders", 3);
    declare(&site, broker, "orders");
    namespace.wait_replicas(DEPLOYMENT, "orders", 0);
    namespace.wait_pods("app=orders", 0);

    assert_eq!(site.roles.get("orders.example.com", "/").status, 200);
    assert_eq!(namespace.replicas(DEPLOYMENT, "orders"), 1);
    namespace.wait_replicas(DEPLOYMENT, "orders", 0);

    topic.produce(30);
    namespace.wait_replicas(DEPLOYMENT, "orders", 3);
    namespace.wait_pods("app=orders", 3);
    topic.consume_but("orders", 0);
    namespace.wait_replicas(DEPLOYMENT, "orders", 0);
}

#[test]
fn the_hungrier_trigger_decides_and_the_other_keeps_it_awake() {
    let Some((site, broker)) = Site::with_kafka("the_hungrier_trigger_decides") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "joined", 3);
    declare(&site, broker, "joined");
    until_routed(&site, "joined.example.com");
    let mut client = site.roles.activators[0].connect();
    client.get("joined.example.com", "/work?ms=20000");
    topic.produce(30);
    namespace.wait_replicas(DEPLOYMENT, "joined", 3);
    topic.consume_but("joined", 0);
    throughout(Duration::from_secs(4), "a request keeps it awake", || {
        namespace.replicas(DEPLOYMENT, "joined") >= 1
    });
    assert_eq!(client.response().status, 200);
    namespace.wait_replicas(DEPLOYMENT, "joined", 0);
}

#[test]
fn an_http_scaled_object_beside_a_scaled_object_needs_no_child() {
    let Some((site, broker)) = Site::with_kafka("an_http_scaled_object_beside_a_scaled_object")
    else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "beside", 1);
    function(namespace, "beside", 0);
    namespace.apply(&Scaled::new("beside", broker).yaml());
    namespace.apply(&http_scaled("beside", "", "").replacen(
        "{ name: beside,",
        "{ name: beside-http,",
        1,
    ));
    until_routed(&site, "beside.example");
    namespace.wait_replicas(DEPLOYMENT, "beside", 0);
    topic.produce(20);
    namespace.wait_replicas(DEPLOYMENT, "beside", 2);
    assert!(namespace.get(SCALED, "beside-http").is_none());
}

#[test]
fn a_deleted_object_takes_its_own_triggers_away_and_no_others() {
    let Some((site, broker)) = Site::with_kafka("a_deleted_object_takes_its_own_triggers") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "parted", 3);
    function(namespace, "parted", 0);
    let http = http_scaled("parted", "", "").replacen("{ name: parted,", "{ name: parted-http,", 1);
    namespace.apply(&http);
    namespace.apply(&Scaled::new("parted", broker).yaml());
    until_routed(&site, "parted.example");
    namespace.delete(SCALED, "parted");
    namespace.wait_gone(SCALED, "parted");
    namespace.wait_replicas(DEPLOYMENT, "parted", 0);
    topic.produce(30);
    throughout(Duration::from_secs(4), "nobody counts messages", || {
        namespace.replicas(DEPLOYMENT, "parted") == 0
    });
    assert_eq!(site.roles.get("parted.example", "/").status, 200);
    namespace.wait_replicas(DEPLOYMENT, "parted", 0);
}
