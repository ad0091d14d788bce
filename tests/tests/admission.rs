//! How many are served at once, how many wait, and in which order.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use zeron_tests::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, encoded, request};
use zeron_tests::manifest::host;
use zeron_tests::{Raw, Response, Service, Setup, Zeron, until};

/// Streams of one HTTP/2 connection (SETTINGS_MAX_CONCURRENT_STREAMS of the listener).
const STREAMS: u32 = 100;
/// Requests that wait for one function (the default of its admission policy).
const MAX_QUEUED: u32 = 10_000;

#[test]
fn queue_full_is_refused_with_retry_after() {
    let service = Service::new("one").limit(1).max(1).timeout_seconds(120);
    let zeron = Setup::new().function(&service).up();
    let mut busy = zeron.connect();
    busy.get(&host("one"), "/work?ms=600000");
    zeron.wait_for("one", "inFlight", 1);
    let _waiting: Vec<Frames> = (0..MAX_QUEUED / STREAMS).map(|_| hundred(&zeron)).collect();
    zeron.wait_for("one", "queued", u64::from(MAX_QUEUED));
    let refused = zeron.get("one", "/");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.text(), "pending request queue full\n");
    assert_eq!(refused.header("x-zeron-reason"), Some("queue-full"));
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(retry_after >= 1);
}

/// Opens as many requests as one connection may.
fn hundred(zeron: &Zeron) -> Frames {
    let mut connection = Frames::connect(zeron.requests);
    let block = request("GET", &host("one"), "/work");
    let requests: Vec<u8> = (0..STREAMS)
        .flat_map(|i| encoded(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, &block))
        .collect();
    connection.send_bytes(&requests).unwrap();
    connection
}

#[test]
fn a_limit_is_never_exceeded_and_nobody_is_refused() {
    let zeron = Setup::new()
        .function(&Service::new("two").limit(2).max(3))
        .up();
    let answers = at_once(&zeron, "two", 60, "/work?ms=40");
    let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let numbers = answer.json();
        let max = highest.entry(numbers["pid"].as_u64().unwrap()).or_default();
        *max = (*max).max(numbers["max_in_flight"].as_u64().unwrap());
    }
    assert!(
        highest.values().all(|&max| max <= 2),
        "never more than two at once: {highest:?}"
    );
    assert!(
        highest.len() <= 3,
        "never more than three replicas: {highest:?}"
    );
}

#[test]
fn a_backlog_asks_for_all_replicas_at_once() {
    let zeron = Setup::new()
        .function(&Service::new("one").limit(1).max(4))
        .up();
    let answers = at_once(&zeron, "one", 40, "/work?ms=200");
    assert!(answers.iter().all(|answer| answer.status == 200));
    let pids: std::collections::BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["pid"].as_u64())
        .collect();
    assert_eq!(pids.len(), 4, "all replicas that it may have took part");
    let highest = zeron
        .decisions("one")
        .iter()
        .filter_map(|d| d["desired"].as_u64())
        .max();
    assert_eq!(highest, Some(4), "never above max");
}

#[test]
fn waiting_requests_are_served_in_the_order_of_their_arrival() {
    let zeron = Setup::new()
        .function(&Service::new("one").limit(1).max(1))
        .up();
    let mut first = zeron.connect();
    first.get(&host("one"), "/work?ms=600000");
    zeron.wait_for("one", "inFlight", 1);
    let mut waiting: Vec<Raw> = Vec::new();
    for i in 0..20 {
        let mut client = zeron.connect();
        client.get(&host("one"), &format!("/work?i={i}"));
        waiting.push(client);
        zeron.wait_for("one", "queued", i + 1);
    }
    drop(first);
    assert!(
        waiting
            .iter_mut()
            .all(|client| client.response().status == 200)
    );
    let seen = zeron.get("one", "/seen").json();
    let lines = seen
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line[1].as_str());
    let order: Vec<u64> = lines
        .filter_map(|line| {
            line.strip_prefix("GET /work?i=")?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert_eq!(order, (0..20).collect::<Vec<u64>>());
}

#[test]
fn a_request_that_waits_too_long_is_told_so() {
    let service = Service::new("one").limit(1).max(1).timeout_seconds(2);
    let zeron = Setup::new().function(&service).up();
    let mut first = zeron.connect();
    first.get(&host("one"), "/slow-body?n=1000&ms=100");
    zeron.wait_for("one", "inFlight", 1);
    let second = zeron.get("one", "/");
    assert_eq!(second.status, 504, "{}", second.text());
    assert_eq!(second.text(), "activator request timeout\n");
}

/// Sends requests on connections of their own, all before the first answer is read.
fn at_once(zeron: &Zeron, function: &str, count: usize, target: &str) -> Vec<Response> {
    let mut clients: Vec<Raw> = (0..count).map(|_| zeron.connect()).collect();
    for client in &mut clients {
        client.get(&host(function), target);
    }
    clients.iter_mut().map(Raw::response).collect()
}

#[test]
fn slots_come_back_after_every_kind_of_end() {
    let zeron = Setup::new()
        .function(&Service::new("one").limit(1).max(1))
        .up();
    for target in [
        "/",
        "/status?code=500",
        "/close-mid-body",
        "/stream",
        "/nowhere",
        "/sse?n=1",
    ] {
        zeron.get("one", target);
    }
    until("the slot to be free", || {
        (zeron.get("one", "/").status == 200).then_some(())
    });
    zeron.wait_for("one", "inFlight", 0);
}
