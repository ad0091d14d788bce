//! CloudEvents over HTTP (binary and structured content mode) reach a function as they were sent, cold and warm.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use zeron_tests::manifest::host;
use zeron_tests::{Response, Service, Setup, Zeron};

const ATTRIBUTES: [(&str, &str); 7] = [
    ("ce-specversion", "1.0"),
    ("ce-type", "dev.example.order.created"),
    ("ce-source", "/orders?shop=1"),
    ("ce-id", "A234-1234-1234"),
    ("ce-time", "2026-11-21T12:00:00Z"),
    // Percent-encoded, as the binding wants it: nobody decodes it on the way.
    ("ce-subject", "Euro%20%E2%82%AC"),
    (
        "ce-traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
];

fn send(zeron: &Zeron, content_type: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut head = format!(
        "POST /echo HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n",
        host("events"),
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    zeron.connect().send(format!("{head}\r\n{body}")).response()
}

/// What the function received.
fn header<'a>(echo: &'a Value, name: &str) -> Option<&'a str> {
    let headers = echo["headers"].as_array().unwrap();
    let is_it = |pair: &&Value| pair[0].as_str().unwrap().eq_ignore_ascii_case(name);
    headers.iter().find(is_it).and_then(|pair| pair[1].as_str())
}

fn up() -> Zeron {
    Setup::new().function(&Service::new("events")).up()
}

#[test]
fn an_event_in_binary_mode_arrives_untouched_cold_and_warm() {
    let zeron = up();
    let body = r#"{ "order":  1 }"#;
    for when in ["cold", "warm"] {
        let answer = send(&zeron, "application/json", &ATTRIBUTES, body);
        assert_eq!(answer.status, 200, "{when}");
        let echo = answer.json();
        for (name, value) in ATTRIBUTES {
            assert_eq!(header(&echo, name), Some(value), "{when}");
        }
        assert_eq!(
            header(&echo, "content-type"),
            Some("application/json"),
            "{when}"
        );
        assert_eq!(echo["text"].as_str(), Some(body), "{when}");
    }
}

#[test]
fn events_in_structured_and_batched_mode_arrive_untouched_cold_and_warm() {
    let zeron = up();
    let event = r#"{"specversion":"1.0","type":"t","source":"/s","id":"1","data":{"a": 1}}"#;
    let batch = format!("[{event}, {event}]");
    let modes = [
        ("application/cloudevents+json; charset=utf-8", event),
        ("application/cloudevents-batch+json", batch.as_str()),
    ];
    for (content_type, body) in modes {
        let answer = send(&zeron, content_type, &[], body);
        assert_eq!(answer.status, 200, "{content_type}");
        let echo = answer.json();
        assert_eq!(header(&echo, "content-type"), Some(content_type));
        assert_eq!(echo["text"].as_str(), Some(body));
    }
}

#[test]
fn a_function_is_addressable() {
    let zeron = up();
    let listed = zeron.function("events").unwrap();
    let urls = listed["urls"].as_array().unwrap();
    let url = urls.first().and_then(Value::as_str).unwrap();
    assert!(
        url.starts_with("http://") && url.contains(&host("events")),
        "{url}"
    );
}
