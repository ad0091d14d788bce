//! Going away without losing anybody who can still be served.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::origin::Gate;
use support::{Stage, function, id, replica, rest, soon, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use zeron_activator::Config;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: f.test\r\n\r\n";

#[tokio::test]
async fn served_and_waiting_requests_finish_within_the_grace() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let (mut served, mut waiting) = (stage.connect().await, stage.connect().await);
    served.write_all(REQUEST).await.unwrap();
    stage.until_load(&id("f"), 1, 0).await;
    waiting.write_all(REQUEST).await.unwrap();
    stage.until_load(&id("f"), 1, 1).await;
    let mut idle = stage.connect().await;
    let address = stage.activator.addresses()[0];
    let activator = stage.activator.clone();
    let ended = tokio::spawn(async move { activator.drain(support::PATIENCE).await });
    assert_eq!(rest(&mut idle).await, "", "idle connections are closed");
    soon(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    assert!(!ended.is_finished());
    gate.open(2);
    for stream in [&mut served, &mut waiting] {
        let answer = rest(stream).await;
        assert!(answer.ends_with("/x"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    soon(ended).await.unwrap();
}

#[tokio::test]
async fn after_the_grace_those_who_wait_are_told_and_the_rest_is_cut() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let (mut served, mut waiting) = (stage.connect().await, stage.connect().await);
    served.write_all(REQUEST).await.unwrap();
    stage.until_load(&id("f"), 1, 0).await;
    waiting.write_all(REQUEST).await.unwrap();
    stage.until_load(&id("f"), 1, 1).await;
    soon(stage.activator.drain(Duration::from_millis(20))).await;
    let answer = rest(&mut waiting).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("x-zeron-reason: shutting-down"), "{answer}");
    assert_eq!(rest(&mut served).await, "");
}

#[tokio::test]
async fn a_websocket_is_closed_as_going_away() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    stage.replicas(&id("f"), &[replica(1, listener.local_addr().unwrap())]);
    let mut client = stage.connect().await;
    client
        .write_all(
            b"GET / HTTP/1.1\r\nhost: f.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await
        .unwrap();
    let (mut origin, _) = soon(listener.accept()).await.unwrap();
    until(&mut origin, "\r\n\r\n").await;
    origin
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await
        .unwrap();
    until(&mut client, "\r\n\r\n").await;
    soon(stage.activator.drain(Duration::from_millis(20))).await;
    let mut last = Vec::new();
    soon(tokio::io::AsyncReadExt::read_to_end(&mut client, &mut last))
        .await
        .unwrap();
    assert_eq!(last, [0x88, 2, 3, 0xe9]);
}

#[tokio::test]
async fn new_connections_are_served_for_a_while_and_told_to_go() {
    let stage = Stage::with(Config {
        lame_duck: support::PATIENCE,
        ..support::config()
    });
    stage.declare(vec![function("f", 0)]);
    let gate = Gate::new().await;
    gate.open(9);
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let mut open = stage.connect().await;
    open.write_all(REQUEST).await.unwrap();
    let answer = until(&mut open, "/x").await;
    assert!(!answer.contains("connection: close"), "{answer}");
    let (sender, connection) = h2::client::handshake(stage.connect().await).await.unwrap();
    let told_to_go = tokio::spawn(connection);
    let _sender = soon(sender.ready()).await.unwrap();
    assert!(!stage.activator.is_draining());
    let activator = stage.activator.clone();
    let ended = tokio::spawn(async move { activator.drain(support::PATIENCE).await });
    soon(async {
        while !stage.activator.is_draining() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(told_to_go).await.unwrap().ok();
    for stream in [&mut open, &mut stage.connect().await] {
        stream.write_all(REQUEST).await.ok();
        let answer = rest(stream).await;
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.contains("/x"), "{answer}");
    }
    assert!(!ended.is_finished());
    // In a hurry it is over at once.
    soon(stage.activator.drain(Duration::ZERO)).await;
    soon(ended).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let stage = Stage::new();
    let mut config = support::config();
    config.listeners = stage.activator.addresses().to_vec();
    let (link, _autoscaler) = zeron_wire::link();
    let error = zeron_activator::Activator::start(config, link).unwrap_err();
    let address = stage.activator.addresses()[0].to_string();
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn the_second_call_hurries_the_first() {
    let stage = Arc::new(Stage::new());
    stage.declare(vec![function("f", 1)]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let mut served = stage.connect().await;
    served.write_all(REQUEST).await.unwrap();
    stage.until_load(&id("f"), 1, 0).await;
    let activator = stage.activator.clone();
    let first = tokio::spawn(async move { activator.drain(Duration::from_secs(3600)).await });
    soon(stage.activator.drain(Duration::ZERO)).await;
    soon(first).await.unwrap();
}

#[tokio::test]
async fn metrics_count_every_end() {
    let stage = Stage::new();
    stage.get("nowhere.test").await;
    let text = stage.metrics();
    assert!(
        text.contains("zeron_activator_requests_total{cause=\"no-route\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("zeron_activator_cold_start_seconds"),
        "{text}"
    );
}
