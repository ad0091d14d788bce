//! What clients and functions speak: HTTP/1.0, 1.1 and 2, gRPC's way with trailers, WebSocket, server-sent events.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeron_tests::h2c::Client;
use zeron_tests::manifest::host;
use zeron_tests::{End, PATIENCE, Raw, Service, Setup, Zeron};

fn origin() -> Zeron {
    Setup::new().function(&Service::new("origin")).up()
}

/// A function that speaks HTTP/2 itself.
fn grpc_origin() -> Zeron {
    let program = env!("CARGO_BIN_EXE_h2c-origin");
    Setup::new()
        .function(&Service::new("grpc").command(&[program]).h2c())
        .up()
}

fn to<B>(function: &str, method: &str, path: &str, body: B) -> Request<B> {
    let uri = format!("http://{}{path}", host(function));
    Request::builder()
        .method(method)
        .uri(uri)
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn an_http2_client_reaches_an_http1_function() {
    let zeron = origin();
    let mut client = Client::connect(zeron.requests).await.unwrap();
    let answer = client
        .whole(to(
            "origin",
            "POST",
            "/echo?x=1",
            Full::<Bytes>::from("hello"),
        ))
        .await
        .unwrap();
    assert_eq!(answer.head.status, 200);
    let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&echo["target"], &echo["text"]),
        (&"/echo?x=1".into(), &"hello".into())
    );
    let hosts: Vec<_> = echo["headers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f[0] == "host")
        .collect();
    assert_eq!(hosts.len(), 1, "one Host, made from :authority: {hosts:?}");
}

#[tokio::test]
async fn many_http2_streams_share_a_connection() {
    let zeron = origin();
    let client = Client::connect(zeron.requests).await.unwrap();
    let client = std::sync::Arc::new(tokio::sync::Mutex::new(client));
    let tasks: Vec<_> = (0..50)
        .map(|i| {
            let client = std::sync::Arc::clone(&client);
            tokio::spawn(async move {
                let request = to(
                    "origin",
                    "GET",
                    &format!("/echo?{i}"),
                    Empty::<Bytes>::new(),
                );
                let head = client.lock().await.head(request).await.unwrap();
                let body = timeout(PATIENCE, head.into_body().collect())
                    .await
                    .unwrap()
                    .unwrap();
                let echo: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap();
                assert_eq!(echo["target"], format!("/echo?{i}"));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn grpc_with_trailers_passes_cold_and_warm() {
    let zeron = grpc_origin();
    let mut client = Client::connect(zeron.requests).await.unwrap();
    for _ in ["cold", "warm"] {
        let mut request = to(
            "grpc",
            "POST",
            "/pkg.Echo/Say",
            Full::<Bytes>::from("message"),
        );
        request
            .headers_mut()
            .insert("content-type", "application/grpc".parse().unwrap());
        request
            .headers_mut()
            .insert("te", "trailers".parse().unwrap());
        let answer = client.whole(request).await.unwrap();
        assert_eq!(answer.head.status, 200);
        assert_eq!(answer.head.headers["x-path"], "/pkg.Echo/Say");
        assert_eq!(answer.body, "message");
        assert_eq!(answer.trailers["grpc-status"], "0");
    }
}

#[tokio::test]
async fn a_grpc_status_of_the_function_passes_unchanged() {
    let zeron = grpc_origin();
    let mut client = Client::connect(zeron.requests).await.unwrap();
    let mut request = to("grpc", "POST", "/Fail", Full::<Bytes>::from("message"));
    request
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    let answer = client.whole(request).await.unwrap();
    assert_eq!(answer.trailers["grpc-status"], "5");
}

#[tokio::test]
async fn both_directions_stream_at_the_same_time() {
    let zeron = grpc_origin();
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let body = StreamBody::new(Box::pin(
        pieces.map(|piece| Ok::<_, std::io::Error>(Frame::data(piece))),
    ));
    let mut client = Client::connect(zeron.requests).await.unwrap();
    let answer = client
        .head(to("grpc", "POST", "/pkg.Echo/Chat", body))
        .await
        .unwrap();
    let mut back = answer.into_body();
    for word in ["one", "two", "three"] {
        sender.send(Bytes::from(word)).await.unwrap();
        let frame = timeout(PATIENCE, back.frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(
            frame.into_data().unwrap(),
            word,
            "each word came back before the next was said"
        );
    }
    drop(sender);
    let last = timeout(PATIENCE, back.frame())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(last.into_trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn an_http1_client_reaches_an_http2_function() {
    let zeron = grpc_origin();
    let answer = tokio::task::spawn_blocking(move || zeron.get("grpc", "/path?q"))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-path"), Some("/path"));
}

#[tokio::test]
async fn grpc_callers_are_told_errors_in_grpc() {
    let service = Service::new("broken").args(&["--exit-at-once", "1"]);
    let zeron = Setup::new().function(&service).up();
    let mut client = Client::connect(zeron.requests).await.unwrap();
    let mut request = to(
        "broken",
        "POST",
        "/pkg.Echo/Say",
        Full::<Bytes>::from("message"),
    );
    request
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    let answer = client.whole(request).await.unwrap();
    assert_eq!(answer.head.status, 200);
    assert_eq!(answer.head.headers["grpc-status"], "14", "UNAVAILABLE");
    assert!(answer.head.headers["grpc-message"].to_str().unwrap().len() > 1);
}

#[test]
fn upgrade_to_h2c_is_not_honoured() {
    let zeron = origin();
    let mut client = zeron.connect();
    client.send(format!(
        "GET /echo HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        host("origin")
    ));
    let answer = client.response();
    assert_eq!(
        answer.status, 200,
        "an HTTP/1.1 answer, as if nothing had been asked"
    );
    let echo = answer.text();
    assert!(
        !echo.to_ascii_lowercase().contains("http2-settings") && !echo.contains("h2c"),
        "{echo}"
    );
}

#[test]
fn a_websocket_opens_cold_and_echoes_until_it_closes() {
    let zeron = origin();
    let mut client = open_websocket(&zeron);
    for text in ["hello", "again"] {
        client.send(masked(0x81, text.as_bytes()));
        let mut expected = vec![0x81, u8::try_from(text.len()).unwrap()];
        expected.extend_from_slice(text.as_bytes());
        assert_eq!(client.exactly(expected.len()), expected);
    }
    zeron.wait_for("origin", "inFlight", 1);
    client.send(masked(0x88, &1000u16.to_be_bytes()));
    assert_eq!(client.exactly(4), [0x88, 2, 0x03, 0xe8]);
    assert_eq!(client.rest(), b"");
    zeron.wait_for("origin", "inFlight", 0);
}

#[test]
fn an_open_websocket_keeps_its_function_awake() {
    let zeron = origin();
    let mut client = open_websocket(&zeron);
    let pid = zeron.replicas("origin")[0];
    zeron_tests::wait::throughout(std::time::Duration::from_secs(14), "it stays", || {
        zeron_tests::process::is_alive(pid)
    });
    client.send(masked(0x89, b"ping"));
    assert_eq!(client.exactly(6), b"\x8a\x04ping");
}

#[test]
fn a_websocket_that_its_function_refuses_is_an_ordinary_answer() {
    let zeron = origin();
    let mut client = zeron.connect();
    client.send(format!(
        "GET /status?code=403 HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host("origin")
    ));
    assert_eq!(client.response().status, 403);
}

#[test]
fn events_come_one_by_one() {
    let zeron = origin();
    let mut client = zeron.connect();
    client.get(&host("origin"), "/sse?n=2&ms=600000");
    let head = client.head().unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let lines: Vec<String> = (0..3).map(|_| client.line().unwrap()).collect();
    assert!(
        lines.contains(&"data: event 1 of 2".to_owned()),
        "{lines:?}: before the second is sent"
    );
}

#[test]
fn trailers_of_a_chunked_answer_pass() {
    let zeron = origin();
    let mut client = zeron.connect();
    client.send(format!(
        "GET /stream?n=3 HTTP/1.1\r\nHost: {}\r\nTE: trailers\r\n\r\n",
        host("origin")
    ));
    let answer = client.response();
    assert_eq!(
        (answer.end, answer.text().as_str()),
        (End::Complete, "chunk 1\nchunk 2\nchunk 3\n")
    );
    assert_eq!(answer.trailers, [("x-chunks".to_owned(), "3".to_owned())]);
}

#[test]
fn head_keeps_its_length_and_has_no_body() {
    let zeron = origin();
    let mut client = zeron.connect();
    client.send(format!(
        "HEAD /bytes?n=12345 HTTP/1.1\r\nHost: {}\r\n\r\n",
        host("origin")
    ));
    assert_eq!(
        client.response_without_body().header("content-length"),
        Some("12345")
    );
    client.get(&host("origin"), "/");
    assert_eq!(client.response().status, 200, "the connection goes on");
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let zeron = origin();
    let mut client = zeron.connect();
    for code in [204, 304] {
        client.get(&host("origin"), &format!("/status?code={code}"));
        assert_eq!(client.response().status, code);
    }
    client.get(&host("origin"), "/bytes?n=0");
    assert_eq!(client.response().header("content-length"), Some("0"));
}

#[test]
fn an_http10_client_gets_an_answer_that_ends_with_the_connection() {
    let zeron = origin();
    let mut client = zeron.connect();
    client.send(format!(
        "GET /stream HTTP/1.0\r\nHost: {}\r\n\r\n",
        host("origin")
    ));
    let answer = client.response();
    assert_eq!(answer.text(), "chunk 1\nchunk 2\nchunk 3\n");
    assert_eq!(
        answer.header("transfer-encoding"),
        None,
        "HTTP/1.0 knows no chunks"
    );
    assert_eq!(client.rest(), b"");
}

fn open_websocket(zeron: &Zeron) -> Raw {
    let mut client = zeron.connect();
    client.send(format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host("origin")
    ));
    let answer = client.response();
    assert_eq!(answer.status, 101, "{}", answer.text());
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    client
}

/// A frame as clients send it (RFC 6455 section 5.2), with a short payload.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
    frame.extend(MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}
