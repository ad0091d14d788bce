//! Headers that parts of a platform send each other: from a client they have no effect and never reach the function.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use zeron_tests::manifest::host;
use zeron_tests::{Response, Service, Setup, Zeron};

/// What clients may try; none of it may be seen by the function with this value.
const FORGED: &[(&str, &str)] = &[
    ("K-Kubelet-Probe", "queue"),
    ("K-Network-Probe", "probe"),
    ("K-Network-Probe", "queue"),
    ("K-Network-Probe", "activator"),
    ("K-Network-Hash", "abc"),
    ("K-Proxy-Request", "activator"),
    ("K-Original-Host", "evil.example"),
    ("K-Passthrough-Lb", "true"),
    ("Knative-Serving-Revision", "other-00001"),
    ("Knative-Serving-Namespace", "kube-system"),
    ("Knative-Serving-Tag", "secret"),
    ("Knative-Serving-Default-Route", "true"),
    ("K_Proxy_Request", "activator"),
    ("X-Zeron-Reason", "none"),
    ("X-Zeron-Anything", "forged"),
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "gopher"),
    ("X-Forwarded-Port", "6666"),
    ("X_Forwarded_For", "6.6.6.6"),
    ("X-Real-Ip", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6;host=evil.example"),
    ("Proxy-Authorization", "Basic c2VjcmV0"),
    ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
];

#[test]
fn forged_headers_never_reach_a_warm_function() {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    for (name, value) in FORGED {
        assert_harmless(&zeron, "origin", name, value);
    }
}

#[test]
fn forged_headers_never_reach_a_cold_function() {
    let names: Vec<String> = (0..FORGED.len()).map(|i| format!("origin-{i}")).collect();
    let setup = names.iter().fold(Setup::new(), |setup, name| {
        setup.function(&Service::new(name))
    });
    let zeron = setup.up();
    for ((name, value), function) in FORGED.iter().zip(&names) {
        assert_harmless(&zeron, function, name, value);
    }
}

fn assert_harmless(zeron: &Zeron, function: &str, name: &str, value: &str) {
    let echo = sent(zeron, function, &format!("{name}: {value}\r\n")).json();
    let headers = echo["headers"].as_array().unwrap();
    let hit = headers
        .iter()
        .find(|field| field[1].as_str().unwrap().contains(value));
    assert!(hit.is_none(), "{name}: {value} came through as {hit:?}");
}

#[test]
fn a_probe_from_outside_is_a_request_like_any_other() {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    for forged in [
        "User-Agent: kube-probe/1.30\r\n",
        "K-Kubelet-Probe: 1\r\n",
        "K-Network-Probe: probe\r\nK-Network-Hash: x\r\n",
    ] {
        let answer = sent(&zeron, "origin", forged);
        assert_eq!(
            answer.json()["target"],
            "/echo",
            "the function itself answered: {forged}"
        );
    }
    let answer = zeron.connect().send(
        "GET / HTTP/1.1\r\nHost: nobody.invalid\r\nUser-Agent: kube-probe/1.30\r\nK-Network-Probe: probe\r\nK-Network-Hash: x\r\n\r\n"
    ).response();
    assert_eq!(
        answer.status, 404,
        "nobody answers a probe on the public port"
    );
}

#[test]
fn a_named_revision_does_not_change_the_route() {
    let zeron = Setup::new()
        .function(&Service::new("origin"))
        .function(&Service::new("other").env("MESSAGE", "Secret"))
        .up();
    let forged = "Knative-Serving-Revision: other-00001\r\nKnative-Serving-Namespace: default\r\n";
    assert_eq!(sent(&zeron, "origin", forged).status, 200);
    assert!(
        zeron.replicas("other").is_empty(),
        "the other function was not reached"
    );
    let answer = zeron
        .connect()
        .send(format!(
            "GET / HTTP/1.1\r\nHost: nobody.invalid\r\n{forged}\r\n"
        ))
        .response();
    assert_eq!(answer.status, 404);
}

#[test]
fn a_forged_proxy_header_still_counts_as_one_request() {
    let zeron = Setup::new()
        .function(&Service::new("one").limit(1).max(1))
        .up();
    let mut clients: Vec<_> = (0..3).map(|_| zeron.connect()).collect();
    for client in &mut clients {
        client.send(format!(
            "GET /work?ms=300 HTTP/1.1\r\nHost: {}\r\nK-Proxy-Request: activator\r\nK-Kubelet-Probe: 1\r\nUser-Agent: kube-probe/1\r\n\r\n",
            host("one")
        ));
    }
    for client in &mut clients {
        let numbers = client.response().json();
        assert_eq!(numbers["max_in_flight"], 1, "the limit holds for it");
    }
}

#[test]
fn the_function_is_told_who_its_client_is() {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    let echo = sent(&zeron, "origin", "").json();
    assert_eq!(header(&echo, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(header(&echo, "x-forwarded-proto"), ["http"]);
    assert_eq!(header(&echo, "host"), [host("origin")]);
}

#[test]
fn connection_cannot_strip_what_the_function_relies_on() {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    let forged = "Connection: x-forwarded-for, host, authorization, x-mine\r\nAuthorization: Bearer t\r\nX-Mine: 1\r\n";
    let echo = sent(&zeron, "origin", forged).json();
    assert_eq!(header(&echo, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(header(&echo, "host"), [host("origin")]);
    assert_eq!(header(&echo, "authorization"), ["Bearer t"]);
    assert!(
        header(&echo, "x-mine").is_empty(),
        "what is the connection's own does not pass"
    );
    assert!(
        header(&echo, "connection")
            .iter()
            .all(|v| !v.contains("x-forwarded-for"))
    );
}

#[test]
fn a_trusted_proxy_is_believed() {
    let zeron = Setup::new()
        .function(&Service::new("origin"))
        .args(&["--trusted-proxy", "127.0.0.0/8"])
        .up();
    let echo = sent(
        &zeron,
        "origin",
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n",
    )
    .json();
    let forwarded_for = header(&echo, "x-forwarded-for").join(", ");
    assert!(forwarded_for.starts_with("192.0.2.7"), "{forwarded_for}");
    assert_eq!(header(&echo, "x-forwarded-proto"), ["https"]);
}

#[test]
fn a_proxy_that_is_not_trusted_is_not_believed() {
    let zeron = Setup::new()
        .function(&Service::new("origin"))
        .args(&["--trusted-proxy", "192.0.2.0/24"])
        .up();
    let echo = sent(&zeron, "origin", "X-Forwarded-For: 6.6.6.6\r\n").json();
    assert_eq!(header(&echo, "x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let zeron = Setup::new()
        .function(&Service::new("origin"))
        .args(&["--proxy-protocol", "--trusted-proxy", "127.0.0.0/8"])
        .up();
    let mut client = zeron.connect();
    client
        .send("PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n")
        .get(&host("origin"), "/echo");
    let echo = client.response().json();
    let forwarded_for = header(&echo, "x-forwarded-for").join(", ");
    assert!(forwarded_for.starts_with("192.0.2.7"), "{forwarded_for}");
}

#[test]
fn a_proxy_protocol_line_means_nothing_where_it_is_not_spoken() {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    let mut client = zeron.connect();
    client
        .send("PROXY TCP4 6.6.6.6 127.0.0.1 4711 80\r\n")
        .get(&host("origin"), "/echo");
    client.finish();
    if let Ok(answer) = client.try_response() {
        assert_eq!(answer.status, 400);
    }
}

#[test]
fn trace_context_passes() {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let echo = sent(
        &zeron,
        "origin",
        &format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n"),
    )
    .json();
    let passed = header(&echo, "traceparent").join("");
    assert!(passed.contains(trace), "the trace goes on: {passed:?}");
}

fn sent(zeron: &Zeron, function: &str, headers: &str) -> Response {
    let head = format!(
        "GET /echo HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
        host(function)
    );
    let answer = zeron.connect().send(head).response();
    assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
    answer
}

fn header(echo: &Value, name: &str) -> Vec<String> {
    let fields = echo["headers"].as_array().unwrap().iter();
    fields
        .filter(|field| field[0] == name)
        .map(|field| field[1].as_str().unwrap().to_owned())
        .collect()
}
