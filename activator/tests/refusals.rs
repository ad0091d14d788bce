//! Answers that are made here: when, which, and with what reason.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use support::origin::{self, Gate};
use support::{Stage, config, function, id, replica, rest, route, soon, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use zeron_activator::{Config, PlatformReason};
use zeron_core::endpoint::StartFailure;
use zeron_core::function::{AdmissionPolicy, Protocol, Timeouts};
use zeron_core::route::{RouteAction, StaticResponse};
use zeron_core::{Endpoint, EndpointSnapshot, Function, Timestamp};

const GRPC: &str = "POST /s/m HTTP/1.1\r\nhost: f.test\r\ncontent-type: application/grpc\r\n\
                    content-length: 0\r\nconnection: close\r\n\r\n";

fn impatient(limit: u32, request: Duration) -> Function {
    Function {
        timeouts: Timeouts {
            request: Some(request),
            ..Timeouts::default()
        },
        ..function("f", limit)
    }
}

#[tokio::test]
async fn queue_full_is_refused_at_once_with_retry_after() {
    let stage = Stage::new();
    stage.declare(vec![Function {
        admission: AdmissionPolicy {
            max_queued: 0,
            ..AdmissionPolicy::default()
        },
        ..function("f", 1)
    }]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(
        answer.contains("x-zeron-reason: queue-full\r\n"),
        "{answer}"
    );
    let answer = stage.raw(GRPC).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("grpc-status: 8\r\n"), "{answer}");
}

#[tokio::test]
async fn waiting_too_long_is_504_in_knatives_words() {
    let stage = Stage::new();
    stage.declare(vec![impatient(1, Duration::from_millis(50))]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("activator request timeout"), "{answer}");
    let answer = stage.raw(GRPC).await;
    assert!(answer.contains("grpc-status: 4\r\n"), "{answer}");
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_504_and_frees_the_slot() {
    let stage = Stage::new();
    stage.declare(vec![impatient(1, Duration::from_millis(50))]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn a_failed_start_is_told_in_the_platforms_words() {
    let mut stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let mut stream = stage.connect().await;
    let request = "GET / HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stage.woken().await;
    stage.failure(
        &id("f"),
        StartFailure {
            reason: "ExitCode3".to_owned(),
            message: "no such table".to_owned(),
            at: Timestamp::from_secs(1),
            retry_at: None,
            is_final: true,
        },
    );
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("ExitCode3: no such table"), "{answer}");
    assert!(answer.contains("x-zeron-reason: start-failed"), "{answer}");
}

#[tokio::test]
async fn a_failed_start_is_told_to_strangers_without_what_only_its_owner_should_see() {
    let mut stage = Stage::with(Config {
        show_platform_reason: PlatformReason::ReasonOnly,
        ..config()
    });
    stage.declare(vec![function("f", 1)]);
    let mut stream = stage.connect().await;
    let request = "GET / HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stage.woken().await;
    // The replica is there and will not get ready.
    let unready = Endpoint {
        is_ready: false,
        ..replica(1, "127.0.0.1:9".parse().unwrap())
    };
    let snapshot = EndpointSnapshot {
        endpoints: vec![unready],
        pending: 0,
        share: None,
        failure: Some(StartFailure {
            reason: "ImagePullBackOff".to_owned(),
            message: "registry.internal/secret:1 not found".to_owned(),
            at: Timestamp::from_secs(1),
            retry_at: None,
            is_final: true,
        }),
    };
    stage.observe(&id("f"), snapshot);
    for answer in [rest(&mut stream).await, stage.get("f.test").await] {
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(
            answer.contains("ImagePullBackOff: its image cannot be had"),
            "{answer}"
        );
        assert!(!answer.contains("secret"), "{answer}");
    }
}

#[tokio::test]
async fn a_placeholder_may_be_silent_and_answers_may_say_how_they_came_about() {
    let mut stage = Stage::new();
    let mut held = route(&id("f"));
    let mut told = route(&id("g"));
    if let RouteAction::Forward(forward) = &mut held.action {
        forward.is_placeholder_silent = true;
        forward.placeholder = Some(StaticResponse {
            status: 200,
            headers: Vec::new(),
            body: "soon".to_owned(),
        });
    }
    if let RouteAction::Forward(forward) = &mut told.action {
        forward.cold_start_header = true;
    }
    stage.publish(vec![held, told], vec![function("f", 1), function("g", 1)]);
    assert!(stage.get("f.test").await.ends_with("soon"));
    let mut client = stage.connect().await;
    let request = b"GET / HTTP/1.1\r\nhost: g.test\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    assert_eq!(
        stage.woken().await.function,
        id("g"),
        "and nothing woke the other"
    );
    stage.replicas(&id("g"), &[replica(1, origin::echo().await)]);
    let answer = rest(&mut client).await;
    assert!(
        answer.contains("x-keda-http-cold-start: true\r\n"),
        "{answer}"
    );
    let answer = stage.get("g.test").await;
    assert!(
        answer.contains("x-keda-http-cold-start: false\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_forgotten() {
    let mut stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let bodies = ["", "content-length: 5\r\n", "content-length: 500000\r\n"];
    for head in bodies {
        let mut stream = stage.connect().await;
        let request = format!("POST / HTTP/1.1\r\nhost: f.test\r\n{head}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        if !head.is_empty() {
            stream.write_all(b"12345").await.unwrap();
        }
        stage.woken().await;
        stage.until_load(&id("f"), 0, 1).await;
        drop(stream);
        stage.until_load(&id("f"), 0, 0).await;
        // Replicas that come and go: the next wake-up is a new one.
        stage.replicas(&id("f"), &[replica(1, "127.0.0.1:9".parse().unwrap())]);
        stage.replicas(&id("f"), &[]);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_served_cancels_the_replica() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    stage.replicas(&id("f"), &[replica(1, address)]);
    let mut client = stage.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: f.test\r\n\r\n")
        .await
        .unwrap();
    let (mut origin, _) = soon(listener.accept()).await.unwrap();
    until(&mut origin, "\r\n\r\n").await;
    drop(client);
    assert_eq!(rest(&mut origin).await, "", "the connection is closed");
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn a_replica_that_closes_without_an_answer_is_502_and_not_asked_again() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    stage.replicas(&id("f"), &[replica(1, address)]);
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        until(&mut stream, "\r\n\r\n").await;
        drop(stream);
        listener
    });
    let answer = stage
        .raw("POST / HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx")
        .await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(
        answer.contains("x-zeron-reason: upstream-failed"),
        "{answer}"
    );
    let listener = soon(origin).await.unwrap();
    // Whoever has the answer is asked for nothing more: what was sent twice is here already.
    let again = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(again.is_err(), "nothing is sent twice");
}

/// Closes each connection once a request was read, answering none; how many there were.
async fn dying() -> (std::net::SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            until(&mut stream, "\r\n\r\n").await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, asked)
}

#[tokio::test]
async fn what_may_be_repeated_goes_once_to_another_replica_when_the_first_dies() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let (dying, asked) = dying().await;
    let alive = origin::echo().await;
    stage.replicas(&id("f"), &[replica(1, dying), replica(2, alive)]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(
        stage
            .metrics()
            .contains("zeron_activator_sent_again_total 1")
    );
}

#[tokio::test]
async fn so_it_does_over_http2() {
    let stage = Stage::new();
    let f = Function {
        protocol: Protocol::H2c,
        ..function("f", 1)
    };
    stage.declare(vec![f]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dying = listener.local_addr().unwrap();
    let died = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let asked = connection.accept().await.unwrap().unwrap();
        // With all that is open on it.
        drop((asked, connection));
    });
    let alive = origin::echo().await;
    stage.replicas(&id("f"), &[replica(1, dying), replica(2, alive)]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    soon(died).await.unwrap();
}

#[tokio::test]
async fn a_second_death_is_the_end_of_it() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let (dying, asked) = dying().await;
    stage.replicas(&id("f"), &[replica(1, dying)]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn a_refused_connect_waits_for_the_replica_that_comes() {
    let stage = Arc::new(Stage::new());
    stage.declare(vec![function("f", 1)]);
    // Bound, so that nobody else gets it, but not listening: refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    stage.replicas(&id("f"), &[replica(1, address)]);
    let asked = Arc::clone(&stage);
    let answer = tokio::spawn(async move { asked.get("f.test").await });
    stage.until_load(&id("f"), 0, 1).await;
    assert!(!answer.is_finished());
    stage.replicas(
        &id("f"),
        &[replica(1, address), replica(2, origin::echo().await)],
    );
    let answer = soon(answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn static_answers_and_placeholders_need_no_replica() {
    let mut stage = Stage::new();
    let response = |body: &str| StaticResponse {
        status: 202,
        headers: vec![("x-a".to_owned(), "b".to_owned())],
        body: body.to_owned(),
    };
    let mut fixed = route(&id("fixed"));
    fixed.action = RouteAction::Respond(response("fixed"));
    let mut held = route(&id("f"));
    if let RouteAction::Forward(forward) = &mut held.action {
        forward.placeholder = Some(response("soon"));
    }
    stage.publish(vec![fixed, held], vec![function("f", 1)]);
    let answer = stage.get("fixed.test").await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(
        answer.contains("x-a: b\r\n") && answer.ends_with("fixed"),
        "{answer}"
    );
    let answer = stage.get("f.test").await;
    assert!(answer.ends_with("soon"), "{answer}");
    assert_eq!(stage.woken().await.function, id("f"));
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let answer = stage.get("f.test").await;
    assert!(answer.contains("GET /\n"), "{answer}");
}

#[tokio::test]
async fn a_fallback_takes_what_waited_too_long() {
    let stage = Stage::new();
    let mut main = route(&id("f"));
    if let RouteAction::Forward(forward) = &mut main.action {
        forward.fallback = Some(id("spare"));
    }
    let patient = Function {
        admission: AdmissionPolicy {
            max_wait: Duration::from_millis(30),
            ..AdmissionPolicy::default()
        },
        ..function("f", 1)
    };
    stage.publish(vec![main], vec![patient, function("spare", 1)]);
    stage.replicas(&id("spare"), &[replica(1, origin::echo().await)]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let mut config = config();
    config.limits.head_timeout = Duration::from_millis(50);
    let stage = Stage::with(config);
    let mut stream = stage.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    assert!(!rest(&mut stream).await.contains("200"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let mut config = config();
    config.limits.keep_alive_timeout = Duration::from_secs(1);
    let stage = Stage::with(config);
    stage.declare(vec![function("f", 1)]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let mut stream = stage.connect().await;
    stream
        .write_all(b"GET /x HTTP/1.1\r\nhost: f.test\r\n\r\n")
        .await
        .unwrap();
    // An idle one that came later is closed; the busy one stays.
    let mut idle = stage.connect().await;
    assert_eq!(rest(&mut idle).await, "");
    gate.open(1);
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("/x"), "{answer}");
}

#[tokio::test]
async fn a_silent_body_ends_the_request() {
    let mut config = config();
    config.limits.body_timeout = Duration::from_millis(50);
    let stage = Stage::with(config);
    stage.declare(vec![function("f", 1)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let answer = stage
        .raw("POST / HTTP/1.1\r\nhost: f.test\r\ncontent-length: 9\r\n\r\nx")
        .await;
    assert!(!answer.contains("200 OK"), "{answer}");
    stage.until_load(&id("f"), 0, 0).await;
}
