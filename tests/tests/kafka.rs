//! Functions woken by messages in a real broker: 0 -> N -> 0, alone and together with HTTP, and a broker that goes away.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use zeron_tests::broker::{self, Broker, Unavailable};
use zeron_tests::process::is_alive;
use zeron_tests::topic::Topic;
use zeron_tests::wait::{throughout, within};
use zeron_tests::{Setup, Zeron, until};

/// The broker of this file's tests; `None` where none can run, which is reported.
fn shared(test: &str) -> Option<&'static Broker> {
    match broker::shared() {
        Ok(broker) => Some(broker),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("kafka::{test}"), reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// A consumer without a port, as `examples/worker.yaml` has it.
fn worker(broker: &str, topic: &str, work_ms: u32) -> String {
    include_str!("../../examples/worker.yaml")
        .replace("127.0.0.1:9092", broker)
        .replace("value: jobs", &format!("value: {topic}"))
        .replace("topic: jobs", &format!("topic: {topic}"))
        .replace("value: worker", &format!("value: group-{topic}"))
        .replace(
            "consumerGroup: worker",
            &format!("consumerGroup: group-{topic}"),
        )
        .replace("value: \"50\"", &format!("value: \"{work_ms}\""))
        .replace("cooldownPeriod: 15", "cooldownPeriod: 3")
        .replace(
            "stabilizationWindowSeconds: 15",
            "stabilizationWindowSeconds: 0",
        )
}

fn lines_done(zeron: &Zeron, function: &str) -> usize {
    let output = zeron.run(&["logs", function]);
    output
        .stdout
        .lines()
        .filter(|line| line.contains("done partition="))
        .count()
}

#[test]
fn messages_wake_a_function_scale_it_out_and_let_it_sleep_again() {
    let Some(broker) = shared("messages_wake_a_function") else {
        return;
    };
    let topic = Topic::create(&broker.address(), "out", 4);
    let zeron = Setup::new()
        .manifest("worker.yaml", &worker(&broker.address(), "out", 50))
        .up();
    assert!(
        zeron.replicas("worker").is_empty(),
        "no message, no replica"
    );
    topic.produce(200);
    until("one replica for each partition", || {
        (zeron.replicas("worker").len() == 4).then_some(())
    });
    zeron_tests::wait::within(Duration::from_secs(90), "all messages to be done", || {
        (lines_done(&zeron, "worker") >= 200).then_some(())
    });
    zeron.wait_for_zero("worker");
    let highest = zeron
        .decisions("worker")
        .iter()
        .filter_map(|d| d["desired"].as_u64())
        .max();
    assert!(highest <= Some(5), "never above max: {highest:?}");
    topic.produce(1);
    until("it to wake again", || {
        (!zeron.replicas("worker").is_empty()).then_some(())
    });
}

#[test]
fn why_names_the_lag_in_words() {
    let Some(broker) = shared("why_names_the_lag") else {
        return;
    };
    let topic = Topic::create(&broker.address(), "why", 1);
    let zeron = Setup::new()
        .manifest("worker.yaml", &worker(&broker.address(), "why", 200))
        .up();
    topic.produce(30);
    zeron.wait_for("worker", "ready", 1);
    let why = zeron.run(&["why", "worker"]);
    assert_eq!(why.code, Some(0), "{}", why.stderr);
    assert!(
        why.stdout.contains("kafka") || why.stdout.contains("why"),
        "{}",
        why.stdout
    );
}

#[test]
fn one_function_wakes_on_requests_and_on_messages() {
    let Some(broker) = shared("one_function_wakes_on_both") else {
        return;
    };
    let topic = Topic::create(&broker.address(), "both", 2);
    let manifest = include_str!("../../examples/orders.yaml")
        .replace("127.0.0.1:9092", &broker.address())
        .replace("value: orders", "value: both")
        .replace("topic: orders", "topic: both")
        .replace("consumerGroup: orders", "consumerGroup: both")
        .replace("cooldownPeriod: 15", "cooldownPeriod: 3")
        .replace("scaledownPeriod: 15", "scaledownPeriod: 3");
    let zeron = Setup::new().manifest("orders.yaml", &manifest).up();
    let answer = zeron.get("orders", "/");
    assert_eq!(
        (answer.status, answer.text().trim()),
        (200, "Orders"),
        "by a request"
    );
    zeron.wait_for_zero("orders");
    topic.produce(10);
    // A group whose last consumer left without a word waits for it first.
    within(Duration::from_secs(90), "the messages to be done", || {
        (lines_done(&zeron, "orders") >= 10).then_some(())
    });
    zeron.wait_for_zero("orders");
}

#[test]
fn a_broker_that_was_killed_holds_the_replicas_and_is_followed_when_it_is_back() {
    let mut broker = match Broker::start() {
        Ok(broker) => broker,
        Err(Unavailable::Skip(reason)) => {
            return broker::skip("kafka::a_broker_that_was_killed", &reason);
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    };
    let topic = Topic::create(&broker.address(), "killed", 1);
    let zeron = Setup::new()
        .manifest("worker.yaml", &worker(&broker.address(), "killed", 0))
        .up();
    topic.produce(5);
    let pid = until("it to run", || zeron.replicas("worker").first().copied());
    broker.kill().unwrap();
    until("the source to be unknown", || {
        let view = zeron.function("worker")?;
        (view["phase"] == "Degraded").then_some(())
    });
    throughout(
        Duration::from_secs(6),
        "unknown is not zero: it stays",
        || is_alive(pid),
    );
    let listed = zeron.run(&["ls"]).stdout;
    assert!(listed.contains("waiting for broker"), "{listed}");
    broker.restart().unwrap();
    zeron.wait_for_zero("worker");
    topic.produce(5);
    until("it to wake again", || {
        (!zeron.replicas("worker").is_empty()).then_some(())
    });
}

#[test]
fn a_missing_broker_is_waited_for_and_stops_nobody() {
    let nowhere = zeron_tests::free_address().to_string();
    let zeron = Setup::new()
        .manifest("worker.yaml", &worker(&nowhere, "none", 0))
        .function(&zeron_tests::Service::new("hello"))
        .up();
    let expected = format!("waiting for broker {nowhere}");
    for command in [&["ls"][..], &["why", "worker"][..]] {
        until(&format!("{command:?} to say `{expected}`"), || {
            zeron.run(command).stdout.contains(&expected).then_some(())
        });
    }
    assert_eq!(
        zeron.get("hello", "/").status,
        200,
        "everything else works meanwhile"
    );
    assert!(
        zeron.replicas("worker").is_empty(),
        "and what is at zero stays there"
    );
}
