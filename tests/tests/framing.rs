//! Where a message ends: no byte stream makes the front and a function disagree (RFC 9112 section 11.2).
//!
//! Each row is sent to a real function that records every head it parses. A hidden request names a host that no route has: if it
//! ever reaches the function, the two disagreed. Rows that must be refused are sent while the function is cold and must wake nobody.
#![allow(clippy::unwrap_used)]

#[path = "framing/rows.rs"]
mod rows;

use std::time::Duration;

use rows::{AMBIGUOUS, BROKEN_CHUNKS, HIDDEN, REFUSED};
use zeron_tests::manifest::host;
use zeron_tests::{Raw, Response, Service, Setup, Zeron};

#[test]
fn malformed_heads_are_refused_and_wake_nobody() {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    for (row, bytes) in REFUSED {
        let mut client = zeron.connect();
        client.send(filled(bytes));
        assert_refused(row, &mut client);
    }
    assert_eq!(
        zeron.count("origin", "desired"),
        0,
        "nothing of that woke it"
    );
    assert!(zeron.replicas("origin").is_empty());
}

#[test]
fn malformed_heads_are_refused_while_warm() {
    let zeron = warm();
    for (row, bytes) in REFUSED {
        let mut client = zeron.connect();
        client.send(filled(bytes));
        assert_refused(row, &mut client);
    }
    assert_nothing_hidden(&zeron, "origin", "all rows");
}

/// A refusal is 400 and the end of the connection; closing without a word is as good.
fn assert_refused(row: &str, client: &mut Raw) {
    match client.try_response() {
        Ok(answer) => {
            assert_eq!(answer.status, 400, "{row}: {}", answer.text());
            assert_eq!(client.rest(), b"", "{row}: the connection ends");
        }
        Err(error) => assert!(zeron_tests::raw::is_gone(&error), "{row}: {error}"),
    }
}

#[test]
fn broken_chunks_never_make_a_whole_body() {
    let zeron = warm();
    for (row, body) in BROKEN_CHUNKS {
        let head = "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = zeron.connect();
        client.send(filled(&format!("{head}{body}{{hidden}}")));
        if let Ok(answer) = client.try_response() {
            assert!(
                answer.status >= 400,
                "{row}: {} {}",
                answer.status,
                answer.text()
            );
        }
        assert_nothing_hidden(&zeron, "origin", row);
    }
}

#[test]
fn ambiguous_messages_hide_nothing_while_warm() {
    let zeron = warm();
    let mut served = 0;
    for (row, bytes) in AMBIGUOUS {
        served += u32::from(send_ambiguous(&zeron, bytes, "origin"));
        assert_nothing_hidden(&zeron, "origin", row);
    }
    assert!(
        served >= 5,
        "rows that mean one thing reach the function: {served}"
    );
}

/// The same through an origin with another parser, told to be lenient.
#[test]
fn ambiguous_messages_hide_nothing_from_node() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/framing/origin.js");
    let Ok(_) = std::process::Command::new("node").arg("--version").output() else {
        return zeron_tests::broker::skip("framing::node", "node not found");
    };
    let zeron = Setup::new()
        .function(&Service::new("origin").command(&["node", script]))
        .up();
    for (row, bytes) in AMBIGUOUS {
        send_ambiguous(&zeron, bytes, "origin");
        assert_nothing_hidden(&zeron, "origin", row);
    }
}

#[test]
fn ambiguous_messages_hide_nothing_while_cold() {
    let names: Vec<String> = (0..AMBIGUOUS.len())
        .map(|i| format!("origin-{i}"))
        .collect();
    let setup = names.iter().fold(Setup::new(), |setup, name| {
        setup.function(&Service::new(name))
    });
    let zeron = setup.up();
    for ((row, bytes), name) in AMBIGUOUS.iter().zip(&names) {
        send_ambiguous(&zeron, bytes, name);
        assert_nothing_hidden(&zeron, name, row);
    }
}

/// Sends a row and reads all that comes back until the connection is over. Whether the function answered.
fn send_ambiguous(zeron: &Zeron, bytes: &str, function: &str) -> bool {
    let mut client = zeron.connect();
    client.send(filled(bytes).replace(&host("origin"), &host(function)));
    // Some rows are incomplete to one reader: it waits. The others are answered before the end is said.
    client.readable_within(Duration::from_secs(3));
    client.finish();
    String::from_utf8_lossy(&client.rest()).contains(" 200 OK\r\n")
}

#[test]
fn what_the_function_parsed_is_what_was_meant() {
    let zeron = warm();
    let rows = [
        ("by length", "Content-Length: 5\r\n\r\nhello"),
        (
            "by chunks",
            "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ),
        (
            "by chunks with capitals",
            "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ];
    for (row, rest) in rows {
        let mut client = zeron.connect();
        client.send(filled(&format!(
            "POST /echo?q=%2f//;a HTTP/1.1\r\nHost: {{h}}\r\n{rest}"
        )));
        let echo = client.response().json();
        assert_eq!(echo["text"], "hello", "{row}");
        assert_eq!(
            echo["target"], "/echo?q=%2f//;a",
            "{row}: the target is not rewritten"
        );
        client.get(&host("origin"), "/");
        assert_eq!(
            client.response().status,
            200,
            "{row}: the connection goes on"
        );
    }
}

#[test]
fn paths_pass_byte_for_byte() {
    let zeron = warm();
    for path in [
        "/a/../echo",
        "//echo",
        "/%2e%2e/echo",
        "/echo;x=1",
        "/echo?a=b?c&d=%zz",
        "/~a!$&'()*+,=:@",
    ] {
        zeron.get("origin", path);
        let seen = zeron.get("origin", "/seen").json();
        let lines: Vec<&str> = seen
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|l| l[1].as_str())
            .collect();
        let expected = format!("GET {path} HTTP/1.1");
        assert!(
            lines.contains(&expected.as_str()),
            "{expected} in {lines:?}"
        );
    }
}

#[test]
fn absolute_form_wins_over_the_host_header() {
    let zeron = warm();
    let mut client = zeron.connect();
    client.send(filled(
        "GET http://{h}/echo HTTP/1.1\r\nHost: elsewhere.invalid\r\n\r\n",
    ));
    let answer = client.response();
    if answer.status == 200 {
        let echo = answer.json();
        assert_eq!(
            header(&echo, "host"),
            vec![host("origin")],
            "one winner, for everybody"
        );
    } else {
        assert_eq!(answer.status, 400, "or neither");
    }
}

/// CVE-2025-4366: the body of a request that was answered without being read is not the next request.
#[test]
fn the_body_of_a_refused_request_is_not_the_next_request() {
    let zeron = warm();
    let inner = filled("GET /smuggled HTTP/1.1\r\nHost: {h}\r\n\r\n");
    let mut client = zeron.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: nobody.invalid\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    ));
    assert_eq!(client.response().status, 404);
    client.finish();
    assert_eq!(client.rest(), b"", "one request, one answer");
    assert_nothing_hidden(&zeron, "origin", "a body nobody read");
}

/// The same where the function answers early: its connection must not carry the leftover into another request.
#[test]
fn the_body_of_a_request_answered_early_is_not_the_next_request() {
    let zeron = warm();
    let inner = filled("GET /smuggled HTTP/1.1\r\nHost: {h}\r\n\r\n");
    for _ in 0..5 {
        let mut client = zeron.connect();
        client.send(filled("POST /status?code=400 HTTP/1.1\r\nHost: {h}\r\n"));
        client.send(format!("Content-Length: {}\r\n\r\n", inner.len() + 10));
        assert_eq!(client.response().status, 400);
        client.send(&inner);
        client.finish();
        client.rest();
        assert_eq!(zeron.get("origin", "/").text(), "Hello from origin-00001\n");
        assert_nothing_hidden(&zeron, "origin", "an early answer");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let zeron = warm();
    let mut client = zeron.connect();
    let pipeline = ["/echo?1", "/work?ms=200", "/echo?3"]
        .map(|target| filled(&format!("GET {target} HTTP/1.1\r\nHost: {{h}}\r\n\r\n")))
        .concat();
    client.send(pipeline);
    let answers: Vec<Response> = (0..3).map(|_| client.response()).collect();
    assert_eq!(answers[0].json()["target"], "/echo?1");
    assert!(answers[1].json()["served"].is_u64());
    assert_eq!(answers[2].json()["target"], "/echo?3");
}

#[test]
fn connect_and_trace_are_refused() {
    let zeron = warm();
    for head in [
        "CONNECT {h}:80 HTTP/1.1\r\nHost: {h}\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: {h}\r\n\r\n",
    ] {
        let mut client = zeron.connect();
        client.send(filled(head));
        let answer = client.response();
        assert!(
            matches!(answer.status, 400 | 404 | 405 | 501),
            "{head:?}: {}",
            answer.status
        );
    }
}

fn warm() -> Zeron {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    assert_eq!(zeron.get("origin", "/").status, 200);
    zeron
}

fn filled(bytes: &str) -> String {
    bytes
        .replace("{hidden}", &format!("{HIDDEN}\r\n\r\n"))
        .replace("{h}", &host("origin"))
}

fn assert_nothing_hidden(zeron: &Zeron, function: &str, row: &str) {
    let seen = zeron.get(function, "/seen");
    assert_eq!(seen.status, 200, "{row}");
    assert!(!seen.text().contains("smuggled"), "{row}: {}", seen.text());
}

fn header(echo: &serde_json::Value, name: &str) -> Vec<String> {
    let fields = echo["headers"].as_array().unwrap().iter();
    fields
        .filter(|field| field[0] == name)
        .map(|field| field[1].as_str().unwrap().to_owned())
        .collect()
}
