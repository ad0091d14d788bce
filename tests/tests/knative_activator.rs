//! Our activator between Knative's autoscaler and its queue-proxies: what reaches them, what they are spared, and what it does
//! not need.
#![allow(clippy::unwrap_used)]

#[path = "knative_activator/tls.rs"]
mod tls;

use std::time::Duration;

use serde_json::json;
use zeron_tests::knative::{Knative, Part, Side, Template};
use zeron_tests::until;

const POD: &str = "v1/Pod";
/// How long a caller waits without an autoscaler; its Lease may have to run out.
const HELD: Duration = Duration::from_secs(120);

/// Knative with our activator, for one test alone.
fn knative(test: &str) -> Option<Knative> {
    let knative = Knative::alone(test, Side::Knatives)?;
    knative.swap(Part::Activator, Side::Ours);
    Some(knative)
}

/// Two replicas that are never reached but through an activator.
fn two() -> Template {
    let two = Template::new().scaling("min-scale", "2");
    two.scaling("target-burst-capacity", "-1")
}

#[test]
fn a_queue_proxy_learns_who_asked_and_which_way_it_came() {
    const TEST: &str = "a_queue_proxy_learns_who_asked_and_which_way_it_came";
    let Some(knative) = knative(TEST) else { return };
    let namespace = knative.cluster().namespace("kn-data");
    let revision = knative.revision(&namespace, "told", &two()).ready();
    revision.wait_mode("Proxy");
    let answer = revision.request().send("/echo").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let echo: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let header = |name: &str| -> Option<String> {
        let mut headers = echo["headers"].as_array()?.iter();
        let found = headers.find(|pair| pair[0] == name)?;
        Some(found[1].as_str()?.to_owned())
    };
    let host = format!("{}.{}.example", revision.name(), namespace.name());
    assert_eq!(header("host"), Some(host));
    assert_eq!(header("k-proxy-request").as_deref(), Some("activator"));
    assert!(header("x-forwarded-for").is_some() && header("forwarded").is_some());
    for name in ["k-original-host", "knative-serving-revision"] {
        assert_eq!(header(name), None, "that was for others");
    }
}

#[test]
fn a_container_concurrency_of_one_holds_and_nothing_is_lost_while_pods_go() {
    const TEST: &str = "a_container_concurrency_of_one_holds_and_nothing_is_lost_while_pods_go";
    let Some(knative) = knative(TEST) else { return };
    let namespace = knative.cluster().namespace("kn-one");
    let template = two()
        .scaling("max-scale", "2")
        .field("containerConcurrency", json!(1));
    let revision = knative.revision(&namespace, "one", &template).ready();
    revision.wait_mode("Proxy");
    let load = revision.work(20, Duration::from_millis(50));
    for _ in 0..3 {
        let pods = revision.wait_pods(2);
        let oldest = pods[0]["metadata"]["name"].as_str().unwrap();
        namespace.delete(POD, oldest);
        until("the pod to be replaced", || {
            let pods = revision.wait_pods(2);
            let is_gone = pods.iter().all(|pod| pod["metadata"]["name"] != oldest);
            is_gone.then_some(())
        });
    }
    revision.wait_pods_ended();
    let request = revision.request();
    load.end()
        .assert_all_answered("pods with one request at a time are deleted");
    for _ in 0..10 {
        let most = request.send("/concurrency").unwrap();
        assert_eq!(most.text(), "1\n");
    }
}

#[test]
fn warm_requests_need_no_autoscaler_and_cold_ones_wait_for_it() {
    const TEST: &str = "warm_requests_need_no_autoscaler_and_cold_ones_wait_for_it";
    let Some(knative) = knative(TEST) else { return };
    let namespace = knative.cluster().namespace("kn-alone");
    let revision = knative.revision(&namespace, "warm", &two()).ready();
    let at_zero = Template::new().scaling("initial-scale", "0");
    let cold = knative.revision(&namespace, "cold", &at_zero).ready();
    revision.wait_mode("Proxy");
    let (warm, asked, cold) = (revision.load(50), revision.request(), cold.request());
    let without = knative.without(Part::Autoscaler);
    // A new activator gets ready without one, too; the old one takes its time to end.
    knative.roll(Part::Activator);
    let waits = std::thread::spawn(move || cold.send_within("/", HELD).unwrap().status);
    for _ in 0..10 {
        assert_eq!(asked.send("/").unwrap().status, 200);
    }
    assert!(!waits.is_finished());
    drop(without);
    warm.end().assert_all_answered("the autoscaler is away");
    assert_eq!(waits.join().unwrap(), 200);
}
