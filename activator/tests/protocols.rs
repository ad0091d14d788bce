//! Protocols and streams that pass through.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::origin::{self, Gate};
use support::{Stage, config, function, id, replica, rest, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zeron_core::Function;
use zeron_core::function::{Protocol, Timeouts};

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn http2(
    io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
) -> Sender {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).unwrap()
}

async fn text(answer: Response<Incoming>) -> String {
    let body = soon(answer.into_body().collect()).await.unwrap();
    String::from_utf8_lossy(&body.to_bytes()).into_owned()
}

#[tokio::test]
async fn http2_with_prior_knowledge_shares_the_port_and_reaches_http1() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 0)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let mut sender = http2(stage.connect().await).await;
    let mut request = get("http://f.test:80/a?b");
    for crumb in ["a=1", "b=2"] {
        let crumb = HeaderValue::from_static(crumb);
        request.headers_mut().append("cookie", crumb);
    }
    let answer = soon(sender.send_request(request)).await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    let seen = text(answer).await;
    assert!(seen.contains("GET /a?b\n"), "{seen}");
    assert!(seen.contains("host: f.test:80\n"), "{seen}");
    assert!(seen.contains("cookie: a=1; b=2\n"), "{seen}");
}

#[tokio::test]
async fn a_preface_in_pieces_is_recognized() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 0)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let mut stream = stage.connect().await;
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"P").await.unwrap();
    stage.pass().await;
    stream
        .write_all(b"OST / HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    let mut stream = stage.connect().await;
    stream.write_all(b"PR").await.unwrap();
    stage.pass().await;
    stream
        .write_all(b"I * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut settings = [0; 9];
    soon(stream.read_exact(&mut settings)).await.unwrap();
    assert_eq!(settings[3], 4, "a SETTINGS frame");
}

/// An origin that speaks HTTP/2 only and ends with trailers, as gRPC does.
async fn grpc_origin() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
                assert_eq!(request.version(), Version::HTTP_2);
                assert_eq!(request.headers()["te"], "trailers");
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let frames = [
                    Ok::<_, hyper::Error>(Frame::data(body)),
                    Ok(Frame::trailers(trailers)),
                ];
                let body = StreamBody::new(futures_util::stream::iter(frames));
                Ok::<_, hyper::Error>(Response::new(body))
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

fn h2c(name: &str, limit: u32) -> Function {
    Function {
        protocol: Protocol::H2c,
        ..function(name, limit)
    }
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let stage = Stage::new();
    stage.declare(vec![h2c("f", 0)]);
    stage.replicas(&id("f"), &[replica(1, grpc_origin().await)]);
    let mut sender = http2(stage.connect().await).await;
    for _ in 0..3 {
        let request = Request::post("http://f.test/s/m")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::from("hello"))
            .unwrap();
        let answer = soon(sender.send_request(request)).await.unwrap();
        let body = soon(answer.into_body().collect()).await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(body.to_bytes(), "hello");
    }
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn http1_reaches_an_http2_function() {
    let stage = Stage::new();
    stage.declare(vec![h2c("f", 0)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("GET http://f.test/\n"), "{answer}");
}

#[tokio::test]
async fn a_reset_stream_frees_its_slot() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let mut sender = http2(stage.connect().await).await;
    let first = tokio::spawn(sender.send_request(get("http://f.test/1")));
    stage.until_load(&id("f"), 1, 0).await;
    let second = tokio::spawn(sender.send_request(get("http://f.test/2")));
    stage.until_load(&id("f"), 1, 1).await;
    second.abort();
    stage.until_load(&id("f"), 1, 0).await;
    first.abort();
    stage.until_load(&id("f"), 0, 0).await;
}

/// A bare origin for one connection, which answers `answer` to the first head.
async fn bare(
    answer: &'static str,
) -> (
    std::net::SocketAddr,
    tokio::task::JoinHandle<(String, TcpStream)>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = soon(listener.accept()).await.unwrap();
        let head = until(&mut stream, "\r\n\r\n").await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        (head, stream)
    });
    (address, task)
}

const WEBSOCKET: &str = "GET /ws HTTP/1.1\r\nhost: f.test\r\nconnection: Upgrade\r\n\
                         upgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_a_tunnel_and_counts_until_it_ends() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let (address, origin) = bare(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .await;
    stage.replicas(&id("f"), &[replica(1, address)]);
    let mut client = stage.connect().await;
    client.write_all(WEBSOCKET.as_bytes()).await.unwrap();
    let answer = until(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.contains("upgrade: websocket\r\n"), "{answer}");
    let (head, mut origin) = soon(origin).await.unwrap();
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    client.write_all(b"\x81\x04ping\n\n").await.unwrap();
    until(&mut origin, "ping\n\n").await;
    origin.write_all(b"pong").await.unwrap();
    until(&mut client, "pong").await;
    stage.until_load(&id("f"), 1, 0).await;
    drop(client);
    assert_eq!(rest(&mut origin).await, "");
    drop(origin);
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn bytes_after_an_upgrade_wait_for_101_and_are_no_request() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let (address, origin) = bare("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").await;
    stage.replicas(&id("f"), &[replica(1, address)]);
    let smuggled = format!("{WEBSOCKET}GET /smuggled HTTP/1.1\r\nhost: f.test\r\n\r\n");
    let answer = stage.raw(smuggled).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let (head, mut origin) = soon(origin).await.unwrap();
    assert!(!head.contains("smuggled"), "{head}");
    assert_eq!(rest(&mut origin).await, "");
}

#[tokio::test]
async fn an_upgrade_to_h2c_is_not_honoured() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let answer = stage
        .raw(
            "GET / HTTP/1.1\r\nhost: f.test\r\nconnection: upgrade, http2-settings\r\n\
             upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        !answer.contains("upgrade:") && !answer.contains("http2-settings:"),
        "{answer}"
    );
}

#[tokio::test]
async fn continue_is_withheld_while_cold() {
    let mut stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let mut client = stage.connect().await;
    client
        .write_all(
            b"POST / HTTP/1.1\r\nhost: f.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\
              connection: close\r\n\r\n",
        )
        .await
        .unwrap();
    stage.woken().await;
    assert!(stage.says_nothing(&client).await, "nothing is said yet");
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let answer = until(&mut client, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 100"), "{answer}");
    client.write_all(b"hello").await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.contains("body 5 b\"hello\""), "{answer}");
    assert!(!answer.contains("expect:"), "{answer}");
}

#[tokio::test]
async fn events_arrive_one_by_one_and_silence_ends_them_where_it_is_bounded() {
    let stage = Stage::new();
    stage.declare(vec![Function {
        timeouts: Timeouts {
            idle: Some(Duration::from_millis(300)),
            ..Timeouts::default()
        },
        ..function("f", 1)
    }]);
    let (address, origin) = bare(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    .await;
    stage.replicas(&id("f"), &[replica(1, address)]);
    let mut client = stage.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: f.test\r\n\r\n")
        .await
        .unwrap();
    let (_, mut origin) = soon(origin).await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        origin.write_all(chunk.as_bytes()).await.unwrap();
        until(&mut client, event).await;
    }
    let end = rest(&mut client).await;
    assert!(!end.contains("0\r\n\r\n"), "a broken end: {end}");
    assert_eq!(rest(&mut origin).await, "", "the replica is cancelled");
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn trailers_pass_over_http1() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let (address, _origin) = bare(
        "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    stage.replicas(&id("f"), &[replica(1, address)]);
    let mut client = stage.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: f.test\r\nte: trailers\r\n\r\n")
        .await
        .unwrap();
    until(&mut client, "x-sum: 7\r\n").await;
}

#[tokio::test]
async fn answers_without_a_body_keep_their_length() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let (address, _origin) = bare("HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n").await;
    stage.replicas(&id("f"), &[replica(1, address)]);
    let mut client = stage.connect().await;
    client
        .write_all(b"HEAD / HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.contains("content-length: 42\r\n"), "{answer}");
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_ended_cleanly() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let (address, origin) =
        bare("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    stage.replicas(&id("f"), &[replica(1, address)]);
    let mut client = stage.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: f.test\r\n\r\n")
        .await
        .unwrap();
    until(&mut client, "hello").await;
    drop(soon(origin).await.unwrap());
    assert!(!rest(&mut client).await.contains("0\r\n\r\n"));
    stage.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn keep_alive_serves_many_requests_over_one_connection_each_way() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    stage.replicas(&id("f"), &[replica(1, address)]);
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..20 {
            until(&mut stream, "\r\n\r\n").await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
        }
    });
    let mut client = stage.connect().await;
    for _ in 0..20 {
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: f.test\r\n\r\n")
            .await
            .unwrap();
        until(&mut client, "\r\n\r\nok").await;
    }
    soon(origin).await.unwrap();
}

#[tokio::test]
async fn tls_negotiates_both_protocols() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["f.test".to_owned()]).unwrap();
    let (certificate, key) = (
        directory.path().join("c.pem"),
        directory.path().join("k.pem"),
    );
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut config = config();
    config.tls = Some(zeron_activator::TlsListener {
        address: "127.0.0.1:0".parse().unwrap(),
        certificate,
        key,
    });
    let stage = Stage::with(config);
    stage.declare(vec![function("f", 0)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        client.alpn_protocols = vec![alpn.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client));
        let tcp = TcpStream::connect(stage.activator.addresses()[1])
            .await
            .unwrap();
        let name = "f.test".try_into().unwrap();
        let mut tls = soon(connector.connect(name, tcp)).await.unwrap();
        let seen = if alpn == b"h2" {
            let mut sender = http2(tls).await;
            text(
                soon(sender.send_request(get("https://f.test/")))
                    .await
                    .unwrap(),
            )
            .await
        } else {
            tls.write_all(b"GET / HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut all = String::new();
            soon(tls.read_to_string(&mut all)).await.ok();
            all
        };
        assert!(seen.contains("x-forwarded-proto: https\n"), "{seen}");
    }
}
