//! Requests that find nobody home, and requests that find everybody busy.
#![allow(clippy::unwrap_used)]

mod support;

use support::origin::{self, Gate};
use support::{Stage, function, id, replica, soon};

#[tokio::test]
async fn first_request_at_zero_wakes_waits_and_is_answered() {
    let mut stage = Stage::new();
    stage.declare(vec![function("f", 0)]);
    let origin = origin::echo().await;
    let address = stage.activator.addresses()[0];
    let answer = tokio::spawn(async move {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = "GET /a?b HTTP/1.1\r\nhost: F.test:80\r\nconnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .unwrap();
        support::rest(&mut stream).await
    });
    let wake = stage.woken().await;
    assert_eq!((wake.function, wake.queued), (id("f"), 1));
    stage.replicas(&id("f"), &[replica(1, origin)]);
    let answer = soon(answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("GET /a?b\n"), "{answer}");
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn unknown_host_is_404_with_reason() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 0)]);
    let answer = stage.get("g.test").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("x-zeron-reason: no-route"), "{answer}");
}

#[tokio::test]
async fn who_comes_before_the_routes_waits_for_them() {
    let stage = Stage::with(zeron_activator::Config {
        holds_until_ready: true,
        ..support::config()
    });
    let mut early = stage.connect().await;
    let request = "GET / HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut early, request.as_bytes())
        .await
        .unwrap();
    stage.declare(vec![function("f", 0)]);
    let origin = origin::echo().await;
    stage.replicas(&id("f"), &[replica(1, origin)]);
    stage.activator.say_ready();
    let answer = soon(support::rest(&mut early)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn limit_holds_over_workers_and_nobody_is_lost() {
    let stage = std::sync::Arc::new(Stage::new());
    stage.declare(vec![function("f", 2)]);
    let gate = Gate::new().await;
    let other = Gate::new().await;
    stage.replicas(
        &id("f"),
        &[replica(1, gate.address), replica(2, other.address)],
    );
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let stage = std::sync::Arc::clone(&stage);
        answers.spawn(async move { stage.get("f.test").await });
    }
    stage.until_load(&id("f"), 4, 36).await;
    gate.until_seen(2).await;
    other.until_seen(2).await;
    gate.open(100);
    other.open(100);
    while let Some(answer) = soon(answers.join_next()).await {
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!((gate.most(), other.most()), (2, 2));
    stage.until_load(&id("f"), 0, 0).await;
}
