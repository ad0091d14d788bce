//! Replicas that the platform has not called ready yet: the activator finds out by itself.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::origin;
use support::{Stage, function, id, replica, rest, soon, until};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use zeron_core::Endpoint;
use zeron_core::workload::{ProbeCheck, ReadinessProbe};

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

fn probed(number: u64, address: SocketAddr, check: ProbeCheck) -> Endpoint {
    Endpoint {
        is_ready: false,
        probe: Some(Arc::new(ReadinessProbe {
            check,
            ..ReadinessProbe::default()
        })),
        ..replica(number, address)
    }
}

const TCP: ProbeCheck = ProbeCheck::Tcp { port: None };

/// A stage with a request that waits for `f`.
async fn waiting() -> (Stage, TcpStream) {
    let mut stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let mut client = stage.connect().await;
    client.write_all(REQUEST).await.unwrap();
    stage.woken().await;
    (stage, client)
}

/// Bound, so that nobody else gets it, but not listening yet.
fn silent() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Serves connections that ask something, and lets go those that only knock.
async fn serve(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut first = [0; 1];
            if matches!(stream.peek(&mut first).await, Ok(1)) {
                until(&mut stream, "\r\n\r\n").await;
                stream.write_all(ANSWER).await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_replica_is_used_as_soon_as_it_listens() {
    let (stage, mut client) = waiting().await;
    let (socket, address) = silent();
    stage.replicas(&id("f"), &[probed(1, address, TCP)]);
    stage.until_load(&id("f"), 0, 1).await;
    tokio::spawn(serve(socket.listen(16).unwrap()));
    assert!(rest(&mut client).await.ends_with("ok"));
}

#[tokio::test]
async fn without_a_probe_only_the_platforms_word_counts() {
    let (stage, mut client) = waiting().await;
    let address = origin::echo().await;
    let unready = Endpoint {
        is_ready: false,
        ..replica(1, address)
    };
    stage.replicas(&id("f"), &[unready]);
    assert!(stage.says_nothing(&client).await);
    stage.replicas(&id("f"), &[replica(1, address)]);
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_http_probe_asks_as_declared_until_the_answer_is_good() {
    let (stage, mut client) = waiting().await;
    let is_up = Arc::new(AtomicBool::new(false));
    let (asked, mut questions) = mpsc::channel(16);
    let up = Arc::clone(&is_up);
    let address = origin::serve(move |request: Request<Incoming>| {
        let (up, asked) = (Arc::clone(&up), asked.clone());
        async move {
            let mut answer = Response::new(Full::new(Bytes::from("ok")));
            if request.uri().path() == "/healthz" {
                let question = (request.uri().clone(), request.headers().clone());
                asked.try_send(question).ok();
                *answer.status_mut() = match up.load(Ordering::SeqCst) {
                    true => StatusCode::FOUND,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
            }
            answer
        }
    })
    .await;
    let check = ProbeCheck::Http {
        path: "/healthz?deep".to_owned(),
        headers: vec![
            ("X-Asked-By".to_owned(), "me".to_owned()),
            ("Host".to_owned(), "probe.test".to_owned()),
        ],
        port: None,
    };
    stage.replicas(&id("f"), &[probed(1, address, check)]);
    let (uri, headers) = soon(questions.recv()).await.unwrap();
    assert_eq!(uri, "/healthz?deep");
    assert_eq!(
        (&headers["x-asked-by"], &headers["host"]),
        (
            &HeaderValue::from_static("me"),
            &HeaderValue::from_static("probe.test")
        )
    );
    soon(questions.recv()).await.unwrap();
    stage.until_load(&id("f"), 0, 1).await;
    is_up.store(true, Ordering::SeqCst);
    assert!(rest(&mut client).await.ends_with("ok"));
}

/// A gRPC server whose health service answers `status`, and says each time that it is asked.
async fn health(status: Arc<AtomicU8>, asked: mpsc::Sender<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (status, asked) = (Arc::clone(&status), asked.clone());
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let status = status.load(Ordering::SeqCst);
                asked.try_send(()).ok();
                async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let question = request.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(&question[..], b"\0\0\0\0\x03\x0a\x01s");
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    let frames = [
                        Ok::<_, hyper::Error>(Frame::data(Bytes::from(vec![
                            0, 0, 0, 0, 2, 8, status,
                        ]))),
                        Ok(Frame::trailers(trailers)),
                    ];
                    let body = StreamBody::new(futures_util::stream::iter(frames));
                    Ok::<_, hyper::Error>(Response::new(body))
                }
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

#[tokio::test]
async fn a_grpc_probe_waits_for_serving_on_the_port_it_names() {
    let (stage, mut client) = waiting().await;
    let status = Arc::new(AtomicU8::new(2));
    let (asked, mut questions) = mpsc::channel(16);
    let health = health(Arc::clone(&status), asked).await;
    let check = ProbeCheck::Grpc {
        service: "s".to_owned(),
        port: health.port().try_into().ok(),
    };
    stage.replicas(&id("f"), &[probed(1, origin::echo().await, check)]);
    // The second question comes after the first answer.
    soon(questions.recv()).await.unwrap();
    soon(questions.recv()).await.unwrap();
    assert!(stage.says_nothing(&client).await);
    status.store(1, Ordering::SeqCst);
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_initial_delay_is_kept() {
    let (stage, mut client) = waiting().await;
    let mut endpoint = probed(1, origin::echo().await, TCP);
    let delay = Duration::from_millis(300);
    endpoint.probe = Some(Arc::new(ReadinessProbe {
        initial_delay: delay,
        ..ReadinessProbe::default()
    }));
    let begun = Instant::now();
    stage.replicas(&id("f"), &[endpoint]);
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn a_replica_that_goes_is_probed_no_more() {
    let (stage, _client) = waiting().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let check = ProbeCheck::Http {
        path: "/".to_owned(),
        headers: Vec::new(),
        port: None,
    };
    let endpoint = probed(1, listener.local_addr().unwrap(), check);
    stage.replicas(&id("f"), &[endpoint]);
    // A probe that is under way ends with its replica.
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    until(&mut stream, "\r\n\r\n").await;
    stage.replicas(&id("f"), &[]);
    assert_eq!(rest(&mut stream).await, "");
    // Another one is probed again and again meanwhile.
    let (asked, mut questions) = mpsc::channel(16);
    let check = ProbeCheck::Grpc {
        service: "s".to_owned(),
        port: None,
    };
    let other = health(Arc::new(AtomicU8::new(2)), asked).await;
    stage.replicas(&id("f"), &[probed(2, other, check)]);
    for _ in 0..3 {
        soon(questions.recv()).await.unwrap();
    }
    let more = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(more.is_err());
}

#[tokio::test]
async fn a_replica_that_is_not_ready_any_more_is_probed_again() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ready = Endpoint {
        is_ready: true,
        ..probed(1, address, TCP)
    };
    stage.replicas(&id("f"), &[ready]);
    stage.replicas(&id("f"), &[probed(1, address, TCP)]);
    // Nobody asked for anything: this is the probe.
    soon(listener.accept()).await.unwrap();
}
