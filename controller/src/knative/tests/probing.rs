//! The question to a Service, over loopback.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::knative::{AskForActivator, HttpProbe};

/// Answers one request; returns what was asked.
async fn answer(text: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(text.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, asked)
}

#[tokio::test]
async fn the_question_is_the_originals() {
    let (address, asked) = answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nactivator").await;
    assert!(HttpProbe.is_activator("127.0.0.1", address.port()).await);
    let asked = asked.await.unwrap();
    let mut lines: Vec<&str> = asked.trim_end().lines().collect();
    lines.sort_unstable();
    let host = format!("host: 127.0.0.1:{}", address.port());
    let wanted = [
        "GET //healthz HTTP/1.1",
        "connection: close",
        &host,
        "k-network-probe: activator",
        "user-agent: Knative-Autoscaling-Probe",
    ];
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn everybody_else_is_no_activator() {
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nqueue",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nactivator",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nactivator!",
        "nonsense\r\n\r\n",
        "",
    ] {
        let (address, _asked) = answer(text).await;
        assert!(
            !HttpProbe.is_activator("127.0.0.1", address.port()).await,
            "{text:?}"
        );
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    assert!(!HttpProbe.is_activator("127.0.0.1", port).await);
}
