//! Clients that leave before they are answered.
#![allow(clippy::unwrap_used)]

use zeron_tests::manifest::host;
use zeron_tests::{Service, Setup, until};

#[test]
fn a_client_that_leaves_while_served_is_cancelled_at_the_function() {
    let zeron = Setup::new().function(&Service::new("work")).up();
    assert_eq!(zeron.get("work", "/").status, 200);
    let mut client = zeron.connect();
    client.get(&host("work"), "/work?ms=600000");
    until("the work to begin", || {
        (stats(&zeron)["in_flight"] == 2).then_some(())
    });
    drop(client);
    until("the work to be cancelled", || {
        (stats(&zeron)["cancelled"] == 1).then_some(())
    });
    zeron.wait_for("work", "inFlight", 0);
}

#[test]
fn a_client_that_leaves_while_queued_never_reaches_the_function() {
    let zeron = Setup::new()
        .function(&Service::new("one").limit(1).max(1))
        .up();
    let mut first = zeron.connect();
    first.get(&host("one"), "/work?ms=8000");
    zeron.wait_for("one", "inFlight", 1);
    let mut second = zeron.connect();
    second.get(&host("one"), "/left");
    zeron.wait_for("one", "queued", 1);
    drop(second);
    zeron.wait_for("one", "queued", 0);
    assert_eq!(first.response().status, 200);
    let seen = zeron.get("one", "/seen").text();
    assert!(!seen.contains("/left"), "it was served to nobody: {seen}");
}

#[test]
fn a_client_that_leaves_while_cold_leaves_nothing_behind() {
    let service = Service::new("slow").args(&["--ready-after", "5000"]);
    let zeron = Setup::new().function(&service).up();
    let mut client = zeron.connect();
    client.get(&host("slow"), "/left");
    zeron.wait_for("slow", "queued", 1);
    drop(client);
    zeron.wait_for("slow", "queued", 0);
    let seen = zeron.get("slow", "/seen").text();
    assert!(!seen.contains("/left"), "it was served to nobody: {seen}");
    zeron.wait_for_zero("slow");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_an_upload_frees_its_place() {
    let zeron = Setup::new()
        .function(&Service::new("one").limit(1).max(1))
        .up();
    let mut client = zeron.connect();
    client.send(format!(
        "POST /sink HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\n\r\nhalf",
        host("one")
    ));
    zeron.wait_for("one", "inFlight", 1);
    drop(client);
    zeron.wait_for("one", "inFlight", 0);
    assert_eq!(zeron.get("one", "/").status, 200, "the place is free again");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_an_answer_frees_its_place() {
    let zeron = Setup::new()
        .function(&Service::new("one").limit(1).max(1))
        .up();
    let mut client = zeron.connect();
    client.get(&host("one"), "/sse?n=1000000&ms=20");
    client.wait_readable();
    drop(client);
    assert_eq!(zeron.get("one", "/").status, 200, "the place is free again");
}

fn stats(zeron: &zeron_tests::Zeron) -> serde_json::Value {
    zeron.get("work", "/stats").json()
}
