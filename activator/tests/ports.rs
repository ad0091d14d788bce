//! Ports that routes have for themselves.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use support::origin::{self, Gate};
use support::{Stage, function, id, replica, rest, route, soon};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use zeron_core::route::HostPattern;

/// Ports that nobody has at the moment.
async fn free_ports<const N: usize>() -> [NonZeroU16; N] {
    let mut held = Vec::new();
    for _ in 0..N {
        held.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    std::array::from_fn(|place| held[place].local_addr().unwrap().port().try_into().unwrap())
}

async fn ask(port: NonZeroU16, host: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port.get())).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

fn open(stage: &Stage, ports: &[NonZeroU16]) -> Vec<(NonZeroU16, bool)> {
    let wanted: BTreeSet<_> = ports.iter().copied().collect();
    let opened = stage.activator.listen_also(&wanted);
    opened
        .into_iter()
        .map(|(port, result)| (port, result.is_ok()))
        .collect()
}

#[tokio::test]
async fn a_port_leads_to_its_own_routes_only_whatever_the_host() {
    let stage = Stage::new();
    let [port] = free_ports().await;
    let mut own = route(&id("f"));
    own.port = Some(port);
    own.hosts = vec![HostPattern::Any];
    stage.publish(
        vec![own, route(&id("g"))],
        vec![function("f", 0), function("g", 0)],
    );
    for (number, name) in [(1, "f"), (2, "g")] {
        stage.replicas(&id(name), &[replica(number, origin::echo().await)]);
    }
    assert_eq!(open(&stage, &[port]), [(port, true)]);
    for host in ["anything.test", "g.test"] {
        let answer = ask(port, host).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    stage.until_load(&id("g"), 0, 0).await;
    assert!(stage.get("anything.test").await.starts_with("HTTP/1.1 404"));
    assert!(stage.get("g.test").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn ports_open_and_close_while_connections_go_on() {
    let stage = Stage::new();
    let [first, second] = free_ports().await;
    let gate = Gate::new().await;
    let mut own = route(&id("f"));
    own.port = Some(first);
    own.hosts = vec![HostPattern::Any];
    stage.publish(vec![own], vec![function("f", 0)]);
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    open(&stage, &[first]);
    let asked = tokio::spawn(ask(first, "f.test"));
    gate.until_seen(1).await;
    assert_eq!(open(&stage, &[second]), [(second, true)]);
    assert!(
        TcpStream::connect(("127.0.0.1", first.get()))
            .await
            .is_err()
    );
    gate.open(1);
    assert!(soon(asked).await.unwrap().starts_with("HTTP/1.1 200"));
    // Closed is closed: it can be opened again at once.
    for _ in 0..20 {
        assert_eq!(open(&stage, &[first]), [(first, true)]);
        assert!(open(&stage, &[first]).is_empty());
        assert!(open(&stage, &[]).is_empty());
    }
}

#[tokio::test]
async fn a_taken_port_is_said_and_tried_again() {
    let stage = Stage::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port: NonZeroU16 = taken.local_addr().unwrap().port().try_into().unwrap();
    assert_eq!(open(&stage, &[port]), [(port, false)]);
    drop(taken);
    assert_eq!(open(&stage, &[port]), [(port, true)]);
}

#[tokio::test]
async fn the_end_closes_them_too() {
    let stage = Stage::new();
    let [port] = free_ports().await;
    open(&stage, &[port]);
    soon(stage.activator.drain(support::PATIENCE)).await;
    soon(async { while TcpStream::connect(("127.0.0.1", port.get())).await.is_ok() {} }).await;
}
