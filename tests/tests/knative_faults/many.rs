//! Many revisions at zero: each reaches its state, and what they cost at rest.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use zeron_tests::Raw;
use zeron_tests::cluster::Namespace;
use zeron_tests::knative::{Knative, Part, Side, Template};
use zeron_tests::process::{cpu_ticks, resident_bytes};
use zeron_tests::wait::{last, within};

use super::replicas::{process, ready_pods, text};

/// How many, unless `ZERON_TEST_REVISIONS` says otherwise: Knative's own controller takes half a second for each.
const COUNT: usize = 100;
/// For how long what they cost is watched.
const REST: Duration = Duration::from_secs(30);
const THREADS: usize = 8;
const AUTOSCALER: &str = "autoscaling.internal.knative.dev/v1alpha1/PodAutoscaler";

fn count() -> usize {
    let set = std::env::var("ZERON_TEST_REVISIONS").ok();
    set.map_or(COUNT, |count| count.parse().unwrap())
}

fn template() -> Template {
    Template::new().scaling("initial-scale", "0")
}

/// Declares all.
fn declare(knative: &Knative, namespace: &Namespace, count: usize) {
    thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || {
                for number in (first..count).step_by(THREADS) {
                    knative.revision(namespace, &format!("f{number}"), &template());
                }
            });
        }
    });
}

/// How many are at zero because nobody asks.
fn at_rest(namespace: &Namespace) -> usize {
    let is_at_rest = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array()?;
        let active = conditions.iter().find(|it| it["type"] == "Active")?;
        (active["reason"] == "NoTraffic" && object["status"]["actualScale"] == 0).then_some(())
    };
    let objects = namespace.list(AUTOSCALER, "");
    objects.iter().filter_map(is_at_rest).count()
}

/// How many requests an autoscaler has sent to the API server.
fn calls(pod: &Value) -> f64 {
    let address = SocketAddr::new(text(pod, "/status/podIP").parse().unwrap(), 9090);
    let metrics = Raw::connect(address)
        .get("autoscaler", "/metrics")
        .response();
    let text = metrics.text();
    let calls = text
        .lines()
        .filter(|line| line.starts_with("zeron_kubernetes_calls_total"));
    let values = calls.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

#[test]
fn many_revisions_at_zero_reach_their_state_and_any_of_them_wakes() {
    const TEST: &str = "many_revisions_at_zero_reach_their_state_and_any_of_them_wakes";
    if !zeron_tests::soak::soaks(TEST) {
        return;
    }
    let Some(knative) = Knative::alone(TEST, Side::Ours) else {
        return;
    };
    let _zero = knative.configure("config-autoscaler", &[("allow-zero-initial-scale", "true")]);
    let namespace = knative.cluster().namespace("kn-f-many");
    let count = count();
    let began = Instant::now();
    declare(&knative, &namespace, count);
    let declared = began.elapsed();
    let limit = Duration::from_secs(60) + Duration::from_secs(1) * u32::try_from(count).unwrap();
    within(limit, "all to be at rest", || {
        thread::park_timeout(Duration::from_secs(1));
        (at_rest(&namespace) == count).then_some(())
    });
    println!(
        "{count} revisions: declared in {declared:?}, at rest after {:?}",
        began.elapsed()
    );
    let pod = ready_pods(&knative, Part::Autoscaler, 1).remove(0);
    let pid = process(&pod, "/zeron");
    let (ticks, sent) = (cpu_ticks(pid), calls(&pod));
    last(REST);
    println!(
        "at rest for {REST:?}: {} ms of CPU, {} requests to the API server, RSS {} MiB",
        10 * (cpu_ticks(pid) - ticks),
        calls(&pod) - sent,
        resident_bytes(pid) >> 20
    );
    let middle = knative.revision(&namespace, &format!("f{}", count / 2), &template());
    let began = Instant::now();
    let answer = middle.request().send("/").unwrap();
    println!("the one in the middle answers after {:?}", began.elapsed());
    assert_eq!(answer.status, 200, "{}", answer.text());
    middle.wait_active("True");
    assert_eq!(at_rest(&namespace), count - 1, "the others sleep");
}
