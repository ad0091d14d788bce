//! The `nats-jetstream` source against real NATS servers, alone and as a cluster.

#![allow(clippy::unwrap_used)]

#[path = "scaler_nats/push.rs"]
mod push;

use std::time::Duration;

use zeron_core::metric::UnknownKind;
use zeron_core::policy::TriggerSpec;
use zeron_scalers::AddressPolicy;
use zeron_tests::broker::{self, Unavailable};
use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::servers::nats::Nats;
use zeron_tests::servers::triggers::{Answer, SLACK, Sources, TIMEOUT, spec};

/// The server, or `None` once the skip was reported.
fn available<T>(test: &str, server: Result<T, Unavailable>) -> Option<T> {
    match server {
        Ok(server) => Some(server),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("scaler_nats::{test}"), &reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

fn consumer(endpoint: &str, account: &str, stream: &str, consumer: &str) -> TriggerSpec {
    let metadata = [
        ("natsServerMonitoringEndpoint", endpoint),
        ("account", account),
        ("stream", stream),
        ("consumer", consumer),
        ("activationLagThreshold", "3"),
    ];
    spec("nats-jetstream", &metadata, &[])
}

fn value(answer: &Answer) -> Result<f64, UnknownKind> {
    match answer {
        Ok(reading) => Ok(reading.value),
        Err(reason) => Err(reason.kind),
    }
}

#[test]
fn lag_is_what_waits_and_what_is_not_acknowledged() {
    let name = "lag_is_what_waits_and_what_is_not_acknowledged";
    let Some(nats) = available(name, Nats::start()) else {
        return;
    };
    let mut client = nats.connect();
    client.create_stream("orders", 1);
    client.create_consumer("orders", "mailer");
    let sources = Sources::default();
    let trigger = sources.bind(&consumer(&nats.monitoring(), "OTHER", "orders", "mailer"));
    assert_eq!(value(&sources.read(&trigger)), Ok(0.0));

    client.publish("orders", 5);
    let reading = sources.read(&trigger).unwrap();
    assert_eq!((reading.value, reading.target), (5.0, 10.0));
    assert_eq!(reading.metric, "nats-jetstream-orders");
    assert!(reading.activity.is_active());

    let taken = client.take("orders", "mailer", 3);
    assert_eq!(value(&sources.read(&trigger)), Ok(5.0));
    client.acknowledge(&taken[..2]);
    let reading = sources.read(&trigger).unwrap();
    assert_eq!(reading.value, 3.0);
    assert!(!reading.activity.is_active());
}

#[test]
fn accounts_are_told_apart_and_one_request_serves_all_triggers_of_one() {
    let name = "accounts_are_told_apart_and_one_request_serves_all_triggers_of_one";
    let Some(nats) = available(name, Nats::start()) else {
        return;
    };
    for (mut client, count) in [(nats.connect(), 2), (nats.connect_as_shop(), 7)] {
        client.create_stream("orders", 1);
        for consumer in ["a", "b", "c"] {
            client.create_consumer("orders", consumer);
        }
        client.publish("orders", count);
    }
    let sources = Sources::default();
    let bind = |account: &str, name: &str| {
        sources.bind(&consumer(&nats.monitoring(), account, "orders", name))
    };
    let before = nats.asked("/jsz");
    let shop: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|it| bind("SHOP", it))
        .collect();
    let answers = sources.evaluate(&shop.iter().collect::<Vec<_>>(), TIMEOUT);
    assert!(
        answers.iter().all(|answer| value(answer) == Ok(7.0)),
        "{answers:?}"
    );
    assert_eq!(nats.asked("/jsz") - before, 1);
    let other = bind("OTHER", "a");
    assert_ne!(other.source, shop[0].source);
    assert_eq!(value(&sources.read(&other)), Ok(2.0));
    let nobodys = bind("NOBODY", "a");
    assert!(sources.read(&nobodys).is_err());
}

#[test]
fn a_stream_or_consumer_that_is_not_there_is_missing_until_it_is() {
    let name = "a_stream_or_consumer_that_is_not_there_is_missing_until_it_is";
    let Some(nats) = available(name, Nats::start()) else {
        return;
    };
    let mut client = nats.connect();
    client.create_stream("orders", 1);
    client.create_consumer("orders", "mailer");
    client.publish("orders", 4);
    let sources = Sources::default();
    let bind = |stream: &str, name: &str| {
        sources.bind(&consumer(&nats.monitoring(), "OTHER", stream, name))
    };
    let (good, nobody, gone) = (
        bind("orders", "mailer"),
        bind("orders", "nobody"),
        bind("gone", "a"),
    );
    let answers = sources.evaluate(&[&nobody, &good, &gone], TIMEOUT);
    assert_eq!(
        value(&answers[0]),
        Err(UnknownKind::Missing),
        "never the length of the stream"
    );
    assert_eq!(value(&answers[1]), Ok(4.0));
    assert_eq!(value(&answers[2]), Err(UnknownKind::Missing));

    client.delete_stream("orders");
    assert_eq!(value(&sources.read(&good)), Err(UnknownKind::Missing));
    client.create_stream("orders", 1);
    client.create_consumer("orders", "mailer");
    client.publish("orders", 1);
    assert_eq!(value(&sources.read(&good)), Ok(1.0));
}

#[test]
fn a_server_is_unknown_while_it_is_frozen_or_down_and_known_again_after() {
    let name = "a_server_is_unknown_while_it_is_frozen_or_down_and_known_again_after";
    let Some(mut nats) = available(name, Nats::start()) else {
        return;
    };
    let mut client = nats.connect();
    client.create_stream("orders", 1);
    client.create_consumer("orders", "mailer");
    client.publish("orders", 4);
    let sources = Sources::default();
    let trigger = sources.bind(&consumer(&nats.monitoring(), "OTHER", "orders", "mailer"));
    assert_eq!(value(&sources.read(&trigger)), Ok(4.0));

    nats.freeze();
    let timeout = Duration::from_secs(1);
    zeron_tests::until("the server to hang", || {
        let (answer, took) = sources.timed(&trigger, timeout);
        assert!(took < timeout + SLACK, "{took:?}");
        (value(&answer) == Err(UnknownKind::Timeout)).then_some(())
    });
    nats.thaw();
    sources.until_value(&trigger, 4.0);

    nats.kill();
    let reason = sources.read(&trigger).unwrap_err();
    assert_eq!(reason.kind, UnknownKind::Transport, "{}", reason.message);
    assert!(
        reason.message.contains(&nats.monitoring()),
        "{}",
        reason.message
    );
    nats.restart();
    sources.until_value(&trigger, 4.0);
}

#[test]
fn in_a_cluster_the_leader_is_asked_whichever_server_is_named() {
    let name = "in_a_cluster_the_leader_is_asked_whichever_server_is_named";
    let Some(nodes) = available(name, Nats::cluster()) else {
        return;
    };
    let mut client = nodes[0].connect();
    // Replicated, and on one server alone.
    for (stream, replicas, count) in [("orders", 3, 5), ("bills", 1, 2), ("mails", 1, 3)] {
        client.create_stream(stream, replicas);
        client.create_consumer(stream, "worker");
        client.publish(stream, count);
    }
    client.take("orders", "worker", 2);
    let sources = Sources::default();
    for node in &nodes {
        let bind =
            |stream: &str| sources.bind(&consumer(&node.monitoring(), "$G", stream, "worker"));
        let (orders, bills, mails) = (bind("orders"), bind("bills"), bind("mails"));
        sources.until_value(&orders, 5.0);
        sources.until_value(&bills, 2.0);
        let answers = sources.evaluate(&[&mails, &orders, &bills], TIMEOUT);
        let values: Vec<_> = answers.iter().map(value).collect();
        assert_eq!(values, [Ok(3.0), Ok(5.0), Ok(2.0)]);
        let missing = sources.bind(&consumer(&node.monitoring(), "$G", "orders", "nobody"));
        assert_eq!(value(&sources.read(&missing)), Err(UnknownKind::Missing));
    }
}

#[test]
fn a_leader_that_is_gone_is_unknown_and_its_successor_is_found() {
    let name = "a_leader_that_is_gone_is_unknown_and_its_successor_is_found";
    let Some(mut nodes) = available(name, Nats::cluster()) else {
        return;
    };
    let mut client = nodes[0].connect();
    client.create_stream("orders", 3);
    client.create_consumer("orders", "worker");
    client.publish("orders", 5);
    let leader = client.leader("orders", "worker");
    let index: usize = leader.strip_prefix("node-").unwrap().parse().unwrap();
    let other = (index + 1) % nodes.len();
    let sources = Sources::default();
    let endpoint = nodes[other].monitoring();
    let trigger = sources.bind(&consumer(&endpoint, "$G", "orders", "worker"));
    sources.until_value(&trigger, 5.0);
    nodes[index].kill();
    // Nobody may answer for a leader that is gone but the next one.
    zeron_tests::until("a successor to be asked", || match sources.read(&trigger) {
        Ok(reading) => {
            assert_eq!(reading.value, 5.0);
            Some(())
        }
        Err(reason) => {
            let kind = reason.kind;
            let is_expected = matches!(kind, UnknownKind::Transport | UnknownKind::Timeout);
            assert!(is_expected, "{reason:?}");
            None
        }
    });
}

#[test]
fn answers_that_are_none_of_nats_are_unknown() {
    let sources = Sources::default();
    for (reply, kind) in [
        (Reply::ok("<html>"), UnknownKind::Parse),
        (Reply::ok(""), UnknownKind::Parse),
        (Reply::ok("{}"), UnknownKind::Missing),
        (Reply::ok("{\"account_details\": 7}"), UnknownKind::Parse),
        (Reply::status(500, "{}"), UnknownKind::Transport),
        (Reply::status(302, "{}"), UnknownKind::Transport),
    ] {
        let api = Api::start(move |_, _| reply.clone());
        let trigger = consumer(&api.address().to_string(), "$G", "orders", "mailer");
        let answer = sources.read_once(&trigger);
        assert_eq!(value(&answer), Err(kind), "{answer:?}");
    }
}

#[test]
fn a_cluster_that_names_forbidden_servers_is_not_followed_there() {
    // A tenant's own server says where others are: they are checked like every address.
    let jsz = r#"{"server_id": "A", "meta_cluster": {"cluster_size": 3}, "account_details": []}"#;
    let varz =
        r#"{"server_id": "A", "server_name": "a", "connect_urls": ["169.254.169.254:4222"]}"#;
    let api = Api::start(move |parts, _| match parts.uri.path() {
        "/jsz" => Reply::ok(jsz),
        _ => Reply::ok(varz),
    });
    let sources = Sources::new(AddressPolicy::MACHINE);
    let trigger = sources.bind(&consumer(
        &api.address().to_string(),
        "$G",
        "orders",
        "mailer",
    ));
    let (answer, took) = sources.timed(&trigger, TIMEOUT);
    assert!(answer.is_err(), "{answer:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}
