//! From zero on a request, and back to zero.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use zeron_tests::manifest::host;
use zeron_tests::process::is_alive;
use zeron_tests::wait::throughout;
use zeron_tests::{Service, Setup, until};

#[test]
fn a_request_wakes_a_function_and_it_goes_back_to_zero() {
    let zeron = Setup::new().function(&Service::new("hello")).up();
    assert_eq!(zeron.count("hello", "desired"), 0);
    assert!(zeron.replicas("hello").is_empty(), "it begins at zero");
    let answer = zeron.get("hello", "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.text(), "Hello from hello-00001\n");
    let pid = zeron.replicas("hello")[0];
    assert!(is_alive(pid));
    zeron.wait_for_zero("hello");
    assert!(!is_alive(pid));
    assert_eq!(zeron.get("hello", "/").status, 200, "and wakes again");
}

#[test]
fn many_requests_at_zero_start_one_replica() {
    let zeron = Setup::new()
        .function(&Service::new("hello").args(&["--ready-after", "500"]))
        .up();
    let mut callers: Vec<_> = (0..50).map(|_| zeron.connect()).collect();
    for caller in &mut callers {
        caller.get(&host("hello"), "/");
    }
    let answers: Vec<_> = callers.iter_mut().map(zeron_tests::Raw::response).collect();
    assert!(answers.iter().all(|answer| answer.status == 200));
    let pids: BTreeSet<_> = answers.iter().map(|a| a.header("x-pid").unwrap()).collect();
    assert_eq!(pids.len(), 1, "one replica served them all: {pids:?}");
}

#[test]
fn a_request_body_sent_while_cold_arrives_whole() {
    let zeron = Setup::new()
        .function(&Service::new("hello").args(&["--ready-after", "300"]))
        .up();
    let body = "0123456789".repeat(10_000);
    let mut client = zeron.connect();
    client.send(format!(
        "POST /sink HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
        host("hello"),
        body.len()
    ));
    assert_eq!(client.response().json()["bytes"], body.len());
}

#[test]
fn a_function_that_must_not_sleep_does_not() {
    let zeron = Setup::new().function(&Service::new("awake").min(1)).up();
    zeron.wait_for("awake", "ready", 1);
    assert_eq!(zeron.get("awake", "/").status, 200);
    let pid = zeron.replicas("awake")[0];
    throughout(std::time::Duration::from_secs(8), "it stays", || {
        is_alive(pid)
    });
}

#[test]
fn requests_without_a_route_are_not_found_and_wake_nobody() {
    let zeron = Setup::new().function(&Service::new("hello")).up();
    let answer = zeron.get("nobody", "/");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-zeron-reason"), Some("no-route"));
    assert!(zeron.replicas("hello").is_empty());
}

#[test]
fn a_replica_that_crashes_is_replaced_by_the_next_request() {
    let zeron = Setup::new().function(&Service::new("hello")).up();
    assert_eq!(zeron.get("hello", "/").status, 200);
    // A GET would be sent again, to the next replica.
    let request = format!(
        "POST /exit?code=3 HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
        host("hello")
    );
    let crashed = zeron.connect().send(request).response();
    assert_eq!(crashed.status, 502, "{}", crashed.text());
    until("another replica to answer", || {
        (zeron.get("hello", "/").status == 200).then_some(())
    });
}
