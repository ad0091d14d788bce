//! The process itself: starts, drains, is killed, starts again.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;

use zeron_tests::manifest::host;
use zeron_tests::process::{Signal, descendants, is_alive};
use zeron_tests::{End, Raw, Service, Setup, until};

#[test]
fn sigterm_finishes_what_is_in_flight_and_ends_cleanly() {
    let mut zeron = Setup::new().function(&Service::new("hello")).up();
    let mut client = zeron.connect();
    client.get(&host("hello"), "/slow-body?n=20&ms=100");
    client.wait_readable();
    let children = descendants(zeron.pid());
    zeron.signal(Signal::TERM);
    let answer = client.response();
    assert_eq!(
        (answer.status, answer.end, answer.body.len()),
        (200, End::Complete, 20)
    );
    assert_eq!(zeron.wait().code(), Some(0), "{}", zeron.log());
    assert!(!children.is_empty());
    until("its children to be gone", || {
        (!children.iter().any(|&pid| is_alive(pid))).then_some(())
    });
}

#[test]
fn sigterm_finishes_what_is_queued_too() {
    let service = Service::new("one").limit(1).max(1);
    let mut zeron = Setup::new().function(&service).up();
    let mut clients: Vec<Raw> = (0..4).map(|_| zeron.connect()).collect();
    for client in &mut clients {
        client.get(&host("one"), "/work?ms=2000");
    }
    until("one to be served and the others to wait", || {
        let it = zeron.function("one")?;
        (it["inFlight"] == 1 && it["queued"] == 3).then_some(())
    });
    zeron.signal(Signal::TERM);
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(zeron.wait().code(), Some(0));
}

#[test]
fn a_draining_process_takes_no_new_connections() {
    let mut zeron = Setup::new().function(&Service::new("hello")).up();
    let mut client = zeron.connect();
    client.get(&host("hello"), "/work?ms=8000");
    zeron.wait_for("hello", "inFlight", 1);
    zeron.signal(Signal::TERM);
    until("new requests to be refused", || {
        let Ok(mut late) = Raw::try_connect(zeron.requests) else {
            return Some(());
        };
        late.get(&host("hello"), "/");
        late.try_response()
            .map_or(true, |answer| answer.status == 503)
            .then_some(())
    });
    assert_eq!(
        client.response().status,
        200,
        "what was in flight is finished"
    );
    assert_eq!(zeron.wait().code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_it_now() {
    let mut zeron = Setup::new().function(&Service::new("hello")).up();
    let mut client = zeron.connect();
    client.get(&host("hello"), "/slow-body?n=100000&ms=100");
    client.wait_readable();
    let children = descendants(zeron.pid());
    zeron.signal(Signal::TERM);
    until("the drain to begin", || {
        zeron
            .admin("GET", "/readyz", "")
            .map_or(true, |answer| answer.status != 200)
            .then_some(())
    });
    assert!(zeron.is_running(), "the first waits for what is in flight");
    zeron.signal(Signal::TERM);
    zeron.wait();
    until("its children to be gone", || {
        (!children.iter().any(|&pid| is_alive(pid))).then_some(())
    });
    assert_eq!(client.response().end, End::Truncated);
}

#[test]
fn kill_9_leaves_no_orphan() {
    let zeron = Setup::new()
        .function(&Service::new("three").min(3))
        .function(&Service::new("deaf").min(1).args(&["--ignore-sigterm"]))
        .up();
    zeron.wait_for("three", "ready", 3);
    zeron.wait_for("deaf", "ready", 1);
    let children = descendants(zeron.pid());
    assert!(children.len() >= 4, "{children:?}");
    zeron.signal(Signal::KILL);
    until("every child to be gone", || {
        (!children.iter().any(|&pid| is_alive(pid))).then_some(())
    });
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut zeron = Setup::new().listen(address).start();
    let status = zeron.wait();
    assert_eq!(status.code(), Some(1), "{}", zeron.log());
    let log = zeron.log();
    assert!(
        log.contains(&address.to_string()),
        "the address is named: {log}"
    );
    assert!(
        log.to_lowercase().contains("in use"),
        "and what is wrong with it: {log}"
    );
}

#[test]
fn a_port_taken_by_another_zeron_is_a_clear_error() {
    let first = Setup::new().function(&Service::new("hello")).up();
    let mut second = Setup::new().listen(first.requests).start();
    assert_eq!(second.wait().code(), Some(1), "{}", second.log());
    assert!(
        second.log().contains(&first.requests.to_string()),
        "{}",
        second.log()
    );
    assert_eq!(
        first.get("hello", "/").status,
        200,
        "the first one is not disturbed"
    );
}

#[test]
fn applied_functions_survive_a_restart() {
    let mut first = Setup::new().up();
    let file = first.manifests().parent().unwrap().join("applied.yaml");
    std::fs::write(
        &file,
        Service::new("applied").env("MESSAGE", "Applied").yaml(),
    )
    .unwrap();
    let applied = first.run(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    until("it to answer", || {
        (first.get("applied", "/").status == 200).then_some(())
    });
    first.signal(Signal::TERM);
    assert_eq!(first.wait().code(), Some(0));
    let second = Setup::new().after(&first).up();
    assert_eq!(
        second.get("applied", "/").text(),
        "Applied from applied-00001\n"
    );
    let deleted = second.run(&["delete", "service", "applied"]);
    assert_eq!(deleted.code, Some(0), "{}", deleted.stderr);
    until("it to be gone", || {
        (second.get("applied", "/").status == 404).then_some(())
    });
}

#[test]
fn applied_functions_survive_kill_9() {
    let mut first = Setup::new().up();
    let file = first.manifests().parent().unwrap().join("applied.yaml");
    std::fs::write(&file, Service::new("applied").yaml()).unwrap();
    assert_eq!(
        first.run(&["apply", "-f", file.to_str().unwrap()]).code,
        Some(0)
    );
    first.signal(Signal::KILL);
    first.wait();
    let second = Setup::new().after(&first).up();
    assert_eq!(second.get("applied", "/").status, 200);
}
