//! Clients that mean harm: the cost stays with them.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use support::origin::Gate;
use support::{Stage, config, function, id, replica, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Reads until the connection ends or says GOAWAY.
async fn ends(stream: &mut tokio::net::TcpStream) -> bool {
    soon(async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            if stream.read_exact(&mut payload).await.is_err() || head[3] == 7 {
                return;
            }
        }
    })
    .await;
    true
}

#[tokio::test]
async fn streams_reset_at_once_leave_nothing_behind() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let (client, connection) = soon(h2::client::handshake(stage.connect().await))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let flood = async move {
        for _ in 0..20_000 {
            let Ok(mut ready) = client.clone().ready().await else {
                return;
            };
            let request = http::Request::get("http://f.test/").body(()).unwrap();
            let Ok((_, mut stream)) = ready.send_request(request, false) else {
                return;
            };
            stream.send_data(Bytes::from_static(b"x"), false).ok();
            stream.send_reset(h2::Reason::CANCEL);
            tokio::task::yield_now().await;
        }
    };
    soon(flood).await;
    connection.abort();
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn endless_continuations_end_the_connection() {
    let stage = Stage::new();
    let mut stream = stage.connect().await;
    stream.write_all(PREFACE).await.unwrap();
    // HEADERS without END_HEADERS, then CONTINUATION for ever.
    stream
        .write_all(&[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82])
        .await
        .unwrap();
    let mut frame = vec![0, 0x40, 0, 9, 0, 0, 0, 0, 1];
    frame.extend([0; 0x4000]);
    let (mut reader, mut writer) = stream.into_split();
    let flood = tokio::spawn(async move { while writer.write_all(&frame).await.is_ok() {} });
    let mut all = Vec::new();
    soon(reader.read_to_end(&mut all)).await.ok();
    soon(flood).await.unwrap();
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_at_once() {
    let mut config = config();
    config.limits.max_connections = 2;
    let stage = Stage::with(config);
    let first = stage.get("nowhere.test").await;
    assert!(first.starts_with("HTTP/1.1 404"), "{first}");
    let mut open = Vec::new();
    soon(async {
        loop {
            let mut next = stage.connect().await;
            let asked = next.write_all(b"GET / HTTP/1.1\r\nhost: nowhere.test\r\n\r\n");
            asked.await.ok();
            if matches!(next.read(&mut [0; 1]).await, Ok(0) | Err(_)) {
                return;
            }
            open.push(next);
        }
    })
    .await;
    assert!(open.len() <= 2, "{}", open.len());
}

#[tokio::test]
async fn settings_without_end_do_not_stop_others() {
    let stage = Stage::new();
    let mut stream = stage.connect().await;
    stream.write_all(PREFACE).await.unwrap();
    let flood: Vec<u8> = [0, 0, 0, 4, 0, 0, 0, 0, 0].repeat(2000);
    stream.write_all(&flood).await.ok();
    let answer = stage.get("nowhere.test").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    stream
        .write_all(&[0, 0, 8, 6, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
        .await
        .ok();
    assert!(ends(&mut stream).await, "a PING on a stream is an error");
}
