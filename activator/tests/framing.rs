//! What an origin parsed is what the client meant, or the client is refused.
#![allow(clippy::unwrap_used)]

mod support;

use support::origin;
use support::{Stage, function, id, replica};

async fn stage() -> Stage {
    let stage = Stage::new();
    stage.declare(vec![function("f", 0)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    stage
}

/// Sends the bytes, and after them a request that must not be swallowed nor doubled.
async fn answers(stage: &Stage, bytes: &str) -> String {
    let marker = "GET /marker HTTP/1.1\r\nHost: f.test\r\nConnection: close\r\n\r\n";
    stage.raw(format!("{bytes}{marker}")).await
}

#[tokio::test]
async fn malformed_heads_are_refused_and_the_connection_closed() {
    let stage = stage().await;
    let heads = [
        "Host: f.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "Host: f.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "Host: f.test\r\nContent-Length: 5\r\nContent-Length: 5",
        "Host: f.test\r\nContent-Length: 5\r\nContent-Length: 6",
        "Host: f.test\r\nContent-Length: +5",
        "Host: f.test\r\nContent-Length: 0x5",
        "Host: f.test\r\nContent-Length: 5,5",
        "Host: f.test\r\nContent-Length: 18446744073709551616",
        "Host: f.test\r\nTransfer-Encoding: xchunked",
        "Host: f.test\r\nTransfer-Encoding: chunked, identity",
        "Host: f.test\r\nTransfer-Encoding: gzip, chunked",
        "Host: f.test\r\nTransfer-Encoding: \x0bchunked",
        "Host: f.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Host: f.test\r\nTransfer-Encoding : chunked",
        "Host: f.test\nTransfer-Encoding: chunked",
        "Host: f.test\r\nX: a\nContent-Length: 5",
        "Host: f.test\r\nX: a\r\n folded: b",
        "Host: f.test\r\nX\0: a",
        "Host: f.test\r\nX: a\rb",
        "Host: f.test\r\nHost: g.test",
        "Host: f.test\r\nHost: f.test",
        "Host: user@f.test",
        "Host: f.test/path",
        "Host: f.test:http",
        "Host: f test",
        "X: no host",
    ];
    for head in heads {
        let answer = answers(&stage, &format!("POST / HTTP/1.1\r\n{head}\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
        assert!(!answer.contains("marker"), "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn old_versions_and_odd_request_lines_are_refused() {
    let stage = stage().await;
    let lines = [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/2.0",
        "GET /a b HTTP/1.1",
        "GET /",
        "G(T / HTTP/1.1",
    ];
    for line in lines {
        let answer = answers(&stage, &format!("{line}\r\nHost: f.test\r\n\r\n")).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{line:?}: {answer}");
        assert!(!answer.contains("marker"), "{line:?}: {answer}");
    }
    let chunked = "POST / HTTP/1.0\r\nHost: f.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = answers(&stage, chunked).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn sloppy_chunks_end_the_request_and_the_connection() {
    let stage = stage().await;
    let bodies = [
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
    ];
    for body in bodies {
        let head = "POST / HTTP/1.1\r\nHost: f.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = answers(&stage, &format!("{head}{body}")).await;
        assert!(!answer.contains("marker"), "{body:?}: {answer}");
        assert!(!answer.contains("body 5"), "{body:?}: {answer}");
    }
}

#[tokio::test]
async fn well_formed_bodies_arrive_whole_and_the_next_request_is_the_next() {
    let stage = stage().await;
    let requests = [
        "Content-Length: 5\r\n\r\nhello",
        "content-length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3;x=\"y\"\r\nllo\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTrailer: x\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    ];
    for request in requests {
        let request = format!("POST /first HTTP/1.1\r\nHost: f.test\r\n{request}");
        let answer = answers(&stage, &request).await;
        assert!(
            answer.contains("body 5 b\"hello\""),
            "{request:?}: {answer}"
        );
        assert!(answer.contains("GET /marker"), "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    }
}

#[tokio::test]
async fn absolute_form_names_the_host() {
    let stage = stage().await;
    let request = "GET http://f.test/p HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n";
    let answer = stage.raw(request).await;
    assert!(answer.contains("GET /p\n"), "{answer}");
    assert!(answer.contains("host: f.test\n"), "{answer}");
}

#[tokio::test]
async fn connect_and_trace_are_refused() {
    let stage = stage().await;
    for line in ["CONNECT f.test:80 HTTP/1.1", "TRACE / HTTP/1.1"] {
        let answer = stage
            .raw(format!(
                "{line}\r\nHost: f.test\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{line}: {answer}");
    }
}

#[tokio::test]
async fn too_large_heads_are_refused() {
    let stage = stage().await;
    let big = "x".repeat(70 << 10);
    let request = format!("GET / HTTP/1.1\r\nHost: f.test\r\nX: {big}\r\n\r\n");
    let answer = answers(&stage, &request).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let answer = answers(
        &stage,
        &format!("GET / HTTP/1.1\r\nHost: f.test\r\n{many}\r\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}
