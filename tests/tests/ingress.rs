//! Behind an ingress: a real nginx in front, configured as an ingress controller does it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::Value;
use zeron_tests::broker::{Unavailable, skip};
use zeron_tests::manifest::host;
use zeron_tests::servers::nginx::{Annotations, Nginx, OWN_ADDRESS};
use zeron_tests::{End, Raw, Service, Setup, Zeron, until};

#[path = "ingress/grpc.rs"]
mod grpc;
#[path = "ingress/tls.rs"]
mod tls;

/// One function behind an nginx that it trusts; `None` where there is none, once the skip was reported.
struct Site {
    nginx: Nginx,
    zeron: Zeron,
}

impl Site {
    fn up(test: &str, service: &Service, annotations: Annotations) -> Option<Self> {
        let trusted = format!("{OWN_ADDRESS}/32");
        let setup = Setup::new().args(&["--trusted-proxy", &trusted]);
        Self::of(test, setup.function(service), annotations)
    }

    fn of(test: &str, setup: Setup, annotations: Annotations) -> Option<Self> {
        let upstream = zeron_tests::free_address();
        let nginx = match Nginx::before(upstream, annotations) {
            Ok(nginx) => nginx,
            Err(Unavailable::Skip(reason)) => {
                skip(&format!("ingress::{test}"), &reason);
                return None;
            }
            Err(Unavailable::Failed(error)) => panic!("{error:#}"),
        };
        let zeron = setup.listen(upstream).up();
        Some(Self { nginx, zeron })
    }

    fn get(&self, function: &str, target: &str) -> zeron_tests::Response {
        self.nginx.connect().get(&host(function), target).response()
    }

    /// Open connections to the activator.
    fn connections(&self) -> u64 {
        let metrics = self.zeron.admin("GET", "/metrics", "").unwrap().text();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("zeron_activator_connections "));
        line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- end of the log of nginx\n{}", self.nginx.log_tail());
        }
    }
}

/// Both ways in which bodies pass.
const BUFFERING: [Annotations; 2] = [
    Annotations {
        is_buffering: false,
        read_timeout: Duration::from_secs(60),
    },
    Annotations {
        is_buffering: true,
        read_timeout: Duration::from_secs(60),
    },
];

#[test]
fn a_cold_request_is_held_and_warm_ones_share_its_connection() {
    const TEST: &str = "a_cold_request_is_held_and_warm_ones_share_its_connection";
    for annotations in BUFFERING {
        let service = Service::new("slow").args(&["--ready-after", "500"]);
        let Some(site) = Site::up(TEST, &service, annotations) else {
            return;
        };
        assert!(site.zeron.replicas("slow").is_empty());
        let cold = site.get("slow", "/");
        assert_eq!(cold.status, 200, "{}", cold.text());
        for _ in 0..20 {
            assert_eq!(site.get("slow", "/").status, 200);
        }
        assert_eq!(site.connections(), 1, "nginx keeps it and uses it again");
    }
}

#[test]
fn many_cold_requests_at_once_are_all_answered() {
    const TEST: &str = "many_cold_requests_at_once_are_all_answered";
    let service = Service::new("crowd").args(&["--ready-after", "500"]);
    let Some(site) = Site::up(TEST, &service, Annotations::default()) else {
        return;
    };
    let mut clients: Vec<Raw> = (0..200).map(|_| site.nginx.connect()).collect();
    for client in &mut clients {
        client.get(&host("crowd"), "/");
    }
    for client in &mut clients {
        let answer = client.response();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn long_bodies_pass_whole_cold_and_warm() {
    const TEST: &str = "long_bodies_pass_whole_cold_and_warm";
    const LENGTH: usize = 3_000_000;
    for annotations in BUFFERING {
        let Some(site) = Site::up(TEST, &Service::new("long"), annotations) else {
            return;
        };
        for state in ["cold", "warm"] {
            let mut client = site.nginx.connect();
            let head = format!(
                "POST /sink HTTP/1.1\r\nHost: {}\r\nContent-Length: {LENGTH}\r\n\r\n",
                host("long")
            );
            client.send(head).send(vec![b'x'; LENGTH]);
            assert_eq!(client.response().json()["bytes"], LENGTH, "{state}");
            client.get(&host("long"), &format!("/bytes?n={LENGTH}"));
            let answer = client.response();
            assert_eq!((answer.end, answer.body.len()), (End::Complete, LENGTH));
        }
    }
}

#[test]
fn events_come_one_by_one() {
    let Some(site) = Site::up(
        "events_come_one_by_one",
        &Service::new("events"),
        Annotations::default(),
    ) else {
        return;
    };
    let mut client = site.nginx.connect();
    client.get(&host("events"), "/sse?n=2&ms=600000");
    let head = client.head().unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let first = until("the first event, long before the second", || {
        client.line().ok().filter(|line| line.contains("event 1"))
    });
    assert_eq!(first, "data: event 1 of 2");
}

#[test]
fn a_websocket_opens_cold_and_warm() {
    const TEST: &str = "a_websocket_opens_cold_and_warm";
    let service = Service::new("socket").args(&["--ready-after", "500"]);
    let Some(site) = Site::up(TEST, &service, Annotations::default()) else {
        return;
    };
    for state in ["cold", "warm"] {
        let mut client = site.nginx.connect();
        let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        client.send(format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n",
            host("socket")
        ));
        let answer = client.response();
        assert_eq!(answer.status, 101, "{state}: {}", answer.text());
        for _ in 0..3 {
            // Masked with zeros, which the RFC allows.
            client.send(b"\x81\x85\0\0\0\0hello");
            assert_eq!(client.exactly(7), b"\x81\x05hello", "{state}");
        }
        site.zeron.wait_for("socket", "inFlight", 1);
        drop(client);
        site.zeron.wait_for("socket", "inFlight", 0);
    }
}

#[test]
fn the_function_sees_the_client_and_not_what_it_forged() {
    const TEST: &str = "the_function_sees_the_client_and_not_what_it_forged";
    let Some(site) = Site::up(TEST, &Service::new("echo"), Annotations::default()) else {
        return;
    };
    let forged = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=192.0.2.7\r\n";
    for state in ["cold", "warm"] {
        let mut client = site.nginx.connect();
        client.send(format!(
            "GET /echo HTTP/1.1\r\nHost: {}\r\n{forged}\r\n",
            host("echo")
        ));
        let echo = client.response().json();
        assert_eq!(header(&echo, "host"), [host("echo")], "{state}");
        // The client, then who passed it on.
        let way = format!("127.0.0.1, {OWN_ADDRESS}");
        assert_eq!(header(&echo, "x-forwarded-for"), [way], "{state}");
        assert_eq!(header(&echo, "x-forwarded-proto"), ["http"], "{state}");
        assert_eq!(header(&echo, "x-forwarded-host"), [host("echo")], "{state}");
    }
}

#[test]
fn an_ingress_that_is_not_trusted_is_taken_for_the_client() {
    const TEST: &str = "an_ingress_that_is_not_trusted_is_taken_for_the_client";
    let setup = Setup::new().function(&Service::new("echo"));
    let Some(site) = Site::of(TEST, setup, Annotations::default()) else {
        return;
    };
    let echo = site.get("echo", "/echo").json();
    assert_eq!(header(&echo, "x-forwarded-for"), [OWN_ADDRESS]);
    assert_eq!(header(&echo, "host"), [host("echo")]);
}

#[test]
fn a_refusal_passes_with_its_reason_and_when_to_come_again() {
    const TEST: &str = "a_refusal_passes_with_its_reason_and_when_to_come_again";
    let service = Service::new("broken").args(&["--exit-at-once", "3"]);
    for annotations in BUFFERING {
        let Some(site) = Site::up(TEST, &service, annotations) else {
            return;
        };
        let answer = site.get("broken", "/");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("x-zeron-reason"), Some("start-failed"));
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds >= 1);
        let nobody = site.nginx.connect().get("nobody.invalid", "/").response();
        assert_eq!(nobody.status, 404);
    }
}

#[test]
fn a_client_that_leaves_while_it_is_held_never_reaches_the_function() {
    const TEST: &str = "a_client_that_leaves_while_it_is_held_never_reaches_the_function";
    let service = Service::new("slow").args(&["--ready-after", "5000"]);
    let Some(site) = Site::up(TEST, &service, Annotations::default()) else {
        return;
    };
    let mut client = site.nginx.connect();
    client.get(&host("slow"), "/left");
    site.zeron.wait_for("slow", "queued", 1);
    drop(client);
    site.zeron.wait_for("slow", "queued", 0);
    let seen = site.get("slow", "/seen").text();
    assert!(!seen.contains("/left"), "it was served to nobody: {seen}");
}

#[test]
fn a_client_that_leaves_while_it_is_served_is_cancelled_at_the_function() {
    const TEST: &str = "a_client_that_leaves_while_it_is_served_is_cancelled";
    let Some(site) = Site::up(TEST, &Service::new("work"), Annotations::default()) else {
        return;
    };
    let mut client = site.nginx.connect();
    client.get(&host("work"), "/work?ms=600000");
    until("the work to begin", || {
        (site.get("work", "/stats").json()["in_flight"] == 2).then_some(())
    });
    drop(client);
    until("the work to be cancelled", || {
        (site.get("work", "/stats").json()["cancelled"] == 1).then_some(())
    });
    site.zeron.wait_for("work", "inFlight", 0);
}

#[test]
fn an_ingress_that_waits_too_short_leaves_nothing_behind() {
    const TEST: &str = "an_ingress_that_waits_too_short_leaves_nothing_behind";
    let service = Service::new("slow").args(&["--ready-after", "4000"]);
    let annotations = Annotations {
        read_timeout: Duration::from_secs(1),
        ..Annotations::default()
    };
    let Some(site) = Site::up(TEST, &service, annotations) else {
        return;
    };
    let answer = site.get("slow", "/left");
    assert_eq!(answer.status, 504, "nginx's own: {}", answer.text());
    site.zeron.wait_for("slow", "queued", 0);
    // It started all the same, for those who come again.
    site.zeron.wait_for("slow", "ready", 1);
    let seen = site.get("slow", "/seen").text();
    assert!(!seen.contains("/left"), "it was served to nobody: {seen}");
}

/// The values of a header, as the function saw it.
fn header(echo: &Value, name: &str) -> Vec<String> {
    let fields = echo["headers"].as_array().unwrap().iter();
    fields
        .filter(|field| field[0] == name)
        .map(|field| field[1].as_str().unwrap().to_owned())
        .collect()
}
