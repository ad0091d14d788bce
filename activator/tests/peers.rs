//! Several activators: each replica with a limit has one owner, the others make one hop to it.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::origin::{self, Gate};
use support::{Pair, Stage, config, function, id, replica, rest, soon, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use zeron_activator::Config;
use zeron_core::Function;
use zeron_core::function::{Protocol, Timeouts};
use zeron_wire::ToAutoscaler;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\r\n";

/// A pair whose only replica is `b`'s.
async fn pair(address: std::net::SocketAddr) -> Pair {
    let pair = Pair::new();
    pair.declare(&[function("f", 1)]);
    pair.replicas(&id("f"), &[replica(1, address)]);
    pair
}

#[tokio::test]
async fn a_request_makes_one_hop_to_the_owner_and_keeps_what_is_said_of_its_client() {
    let pair = pair(origin::echo().await).await;
    let answer = pair
        .a
        .raw("POST /p?q HTTP/1.1\r\nhost: f.test:80\r\nx-forwarded-for: 10.0.0.1\r\nx-zeron-hop: other\r\n\
              x-zeron-hop-limits: 1,1,1\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for wanted in [
        "POST /p?q\n",
        "host: f.test:80\n",
        "x-forwarded-for: 127.0.0.1\n",
        "forwarded: for=127.0.0.1;host=\"f.test:80\";proto=http\n",
        "body 2 b\"hi\"",
    ] {
        assert!(answer.contains(wanted), "{wanted}: {answer}");
    }
    assert_eq!(answer.matches("forwarded: for=").count(), 1, "{answer}");
    for unwanted in ["x-zeron-", "expect"] {
        assert!(!answer.contains(unwanted), "{unwanted}: {answer}");
    }
}

#[tokio::test]
async fn strangers_gain_nothing_by_the_headers_of_a_hop() {
    let pair = pair(origin::echo().await).await;
    let answer = pair
        .b
        .raw(
            "GET / HTTP/1.1\r\nhost: nobody.test\r\nx-zeron-hop: default/Deployment/f\r\n\
              x-zeron-hop-limits: 9,9,-\r\nx-zeron-claimant: a\r\nconnection: close\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn a_limit_of_one_is_one_over_two_activators() {
    let gate = Gate::new().await;
    let pair = Arc::new(pair(gate.address).await);
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..20 {
        let pair = Arc::clone(&pair);
        answers.spawn(async move {
            let stage = if number % 2 == 0 { &pair.a } else { &pair.b };
            stage.get("f.test").await
        });
    }
    pair.b.until_load(&id("f"), 1, 19).await;
    pair.a.until_load(&id("f"), 0, 0).await;
    gate.open(20);
    while let Some(answer) = soon(answers.join_next()).await {
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!((gate.most(), gate.seen()), (1, 20));
}

#[tokio::test]
async fn a_slot_of_another_activator_does_not_stay_free_while_somebody_waits() {
    let (ours, theirs) = (Gate::new().await, Gate::new().await);
    let pair = Arc::new(Pair::new());
    pair.declare(&[function("f", 2)]);
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let pair = Arc::clone(&pair);
        answers.spawn(async move { pair.a.get("f.test").await });
    }
    pair.a.until_load(&id("f"), 0, 4).await;
    // They waited at one activator before there was anything; half of what comes is the other's.
    let both = [replica(1, theirs.address), replica(2, ours.address)];
    pair.b.replicas(&id("f"), &both);
    pair.a.replicas(&id("f"), &both);
    ours.until_seen(2).await;
    theirs.until_seen(2).await;
    ours.open(2);
    theirs.open(2);
    while let Some(answer) = soon(answers.join_next()).await {
        assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn only_the_owner_counts_a_request() {
    let gate = Gate::new().await;
    let mut pair = pair(gate.address).await;
    let mut client = pair.a.connect().await;
    client.write_all(REQUEST).await.unwrap();
    pair.b.until_load(&id("f"), 1, 0).await;
    let stats = |message| match message {
        ToAutoscaler::Stats(stats) => Some(stats),
        _ => None,
    };
    let mut reports = 0;
    while reports < 2 {
        let message = soon(pair.a.autoscaler.receiver.recv()).await.unwrap();
        if let Some(stats) = stats(message) {
            assert!(stats.is_empty());
            reports += 1;
        }
    }
    loop {
        let message = soon(pair.b.autoscaler.receiver.recv()).await.unwrap();
        // While the replica was being claimed, it waited.
        if let Some([stat]) = stats(message).as_deref()
            && (stat.in_flight, stat.queued) == (1, 0)
        {
            break;
        }
    }
    gate.open(1);
    assert!(rest(&mut client).await.ends_with("/x"));
}

#[tokio::test]
async fn a_limit_of_one_is_one_while_its_owner_leaves() {
    let gate = Gate::new().await;
    let pair = pair(gate.address).await;
    let mut served = pair.b.connect().await;
    served.write_all(REQUEST).await.unwrap();
    gate.until_seen(1).await;
    // The others hear that it leaves; what it has goes on until it has ended.
    pair.a.activator.set_peers("a", Vec::new());
    let leaving = pair.b.activator.clone();
    let left = tokio::spawn(async move { leaving.drain(support::PATIENCE).await });
    let mut waiting = pair.a.connect().await;
    waiting.write_all(REQUEST).await.unwrap();
    pair.a.until_load(&id("f"), 0, 1).await;
    pair.a.pass().await;
    assert!(gate.seen() == 1 && !left.is_finished());
    gate.open(1);
    assert!(rest(&mut served).await.ends_with("/x"));
    gate.until_seen(2).await;
    gate.open(1);
    assert!(rest(&mut waiting).await.ends_with("/x"));
    assert_eq!(gate.most(), 1);
    soon(left).await.unwrap();
}

#[tokio::test]
async fn a_newcomer_begins_when_those_before_it_have_ended() {
    let gate = Gate::new().await;
    let [a, b] = [(); 2].map(|()| {
        let stage = Stage::with(Config {
            peer_listener: Some("127.0.0.1:0".parse().unwrap()),
            ..config()
        });
        stage.declare(vec![function("f", 1)]);
        stage
    });
    // Alone, `a` has everything.
    a.activator.set_peers("a", Vec::new());
    a.replicas(&id("f"), &[replica(1, gate.address)]);
    let mut served = a.connect().await;
    served.write_all(REQUEST).await.unwrap();
    gate.until_seen(1).await;
    // `b` comes, knows of `a`, and is not known yet.
    b.activator.set_peers("b", vec![a.peer("a")]);
    b.replicas(&id("f"), &[replica(1, gate.address)]);
    let mut clients = [a.connect().await, b.connect().await];
    for client in &mut clients {
        client.write_all(REQUEST).await.unwrap();
    }
    a.until_load(&id("f"), 1, 1).await;
    b.until_load(&id("f"), 0, 1).await;
    gate.open(1);
    assert!(rest(&mut served).await.ends_with("/x"));
    // Whoever was first; now `a` hears of `b` too, and sends on what waits.
    gate.until_seen(2).await;
    a.activator.set_peers("a", vec![b.peer("b")]);
    gate.open(2);
    for client in &mut clients {
        assert!(rest(client).await.ends_with("/x"));
    }
    assert_eq!((gate.most(), gate.seen()), (1, 3));
}

#[tokio::test]
async fn an_owner_that_cannot_be_reached_costs_no_request() {
    let gate = Gate::new().await;
    gate.open(9);
    let a = Stage::with(Config {
        peer_listener: Some("127.0.0.1:0".parse().unwrap()),
        ..config()
    });
    a.declare(vec![function("f", 1)]);
    // Bound, so that nobody else gets it, but not listening: refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = zeron_activator::Peer {
        name: "b".to_owned(),
        address: socket.local_addr().unwrap(),
    };
    a.activator.set_peers("a", vec![dead]);
    a.replicas(&id("f"), &[replica(1, gate.address)]);
    let mut client = a.connect().await;
    let request = b"POST /x HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\
                    content-length: 1\r\n\r\nx";
    client.write_all(request).await.unwrap();
    a.until_load(&id("f"), 0, 1).await;
    a.activator.set_peers("a", Vec::new());
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(gate.seen(), 1);
}

#[tokio::test]
async fn a_request_sent_to_the_wrong_activator_comes_back_whole() {
    let a = Stage::with(Config {
        peer_listener: Some("127.0.0.1:0".parse().unwrap()),
        ..config()
    });
    let b = Stage::with(Config {
        peer_listener: Some("127.0.0.1:0".parse().unwrap()),
        ..config()
    });
    a.declare(vec![function("f", 1)]);
    // `a` takes `b` for the owner, who knows nothing of the function.
    a.activator.set_peers("a", vec![b.peer("b")]);
    a.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let mut client = a.connect().await;
    let request = b"POST /x HTTP/1.1\r\nhost: f.test\r\nconnection: close\r\n\
                    content-length: 5\r\n\r\nhello";
    client.write_all(request).await.unwrap();
    a.until_load(&id("f"), 0, 1).await;
    a.activator.set_peers("a", Vec::new());
    let answer = rest(&mut client).await;
    assert!(answer.contains("body 5 b\"hello\""), "{answer}");
    assert!(
        !answer.contains("expect") && !answer.contains("x-zeron"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_refusal_of_the_owner_is_the_clients() {
    let gate = Gate::new().await;
    let pair = Pair::new();
    pair.declare(&[Function {
        timeouts: Timeouts {
            request: Some(Duration::from_millis(300)),
            ..Timeouts::default()
        },
        ..function("f", 1)
    }]);
    pair.replicas(&id("f"), &[replica(1, gate.address)]);
    let answer = pair.a.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("x-zeron-reason: deadline"), "{answer}");
    assert!(answer.contains("activator request timeout"), "{answer}");
    pair.b.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_forgotten_by_the_owner_too() {
    let gate = Gate::new().await;
    let pair = pair(gate.address).await;
    let mut first = pair.b.connect().await;
    first.write_all(REQUEST).await.unwrap();
    pair.b.until_load(&id("f"), 1, 0).await;
    for body in ["", "content-length: 5\r\n"] {
        let mut client = pair.a.connect().await;
        let request = format!("POST / HTTP/1.1\r\nhost: f.test\r\n{body}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        pair.b.until_load(&id("f"), 1, 1).await;
        drop(client);
        pair.b.until_load(&id("f"), 1, 0).await;
    }
    gate.open(1);
    assert!(rest(&mut first).await.ends_with("/x"));
}

#[tokio::test]
async fn continue_is_withheld_until_the_owner_has_a_slot() {
    let gate = Gate::new().await;
    let pair = pair(gate.address).await;
    let mut first = pair.b.connect().await;
    first.write_all(REQUEST).await.unwrap();
    pair.b.until_load(&id("f"), 1, 0).await;
    let mut client = pair.a.connect().await;
    client
        .write_all(
            b"POST /y HTTP/1.1\r\nhost: f.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\
              connection: close\r\n\r\n",
        )
        .await
        .unwrap();
    pair.b.until_load(&id("f"), 1, 1).await;
    assert!(pair.a.says_nothing(&client).await, "nothing is said yet");
    gate.open(1);
    until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    client.write_all(b"hello").await.unwrap();
    gate.open(1);
    assert!(rest(&mut client).await.ends_with("/y"));
}

#[tokio::test]
async fn a_websocket_goes_through_a_hop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pair = pair(listener.local_addr().unwrap()).await;
    let mut client = pair.a.connect().await;
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
    client.write_all(b"ping").await.unwrap();
    until(&mut origin, "ping").await;
    origin.write_all(b"pong").await.unwrap();
    until(&mut client, "pong").await;
    pair.b.until_load(&id("f"), 1, 0).await;
    drop(client);
    assert_eq!(rest(&mut origin).await, "");
    drop(origin);
    pair.b.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn trailers_pass_through_a_hop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pair = pair(listener.local_addr().unwrap()).await;
    let mut client = pair.a.connect().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: f.test\r\nte: trailers\r\n\r\n")
        .await
        .unwrap();
    let (mut origin, _) = soon(listener.accept()).await.unwrap();
    until(&mut origin, "\r\n\r\n").await;
    origin
        .write_all(
            b"HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
              2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n",
        )
        .await
        .unwrap();
    until(&mut client, "x-sum: 7\r\n").await;
}

/// An origin that speaks HTTP/2, answers each piece as it comes, and ends with trailers.
async fn grpc_origin() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
                assert_eq!(request.version(), Version::HTTP_2);
                let pieces = request.into_body().into_data_stream();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let end = futures_util::stream::iter([Ok(Frame::trailers(trailers))]);
                let pieces = futures_util::StreamExt::map(pieces, |piece| piece.map(Frame::data));
                let body = StreamBody::new(futures_util::StreamExt::chain(pieces, end));
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

#[tokio::test]
async fn grpc_streams_both_ways_through_a_hop() {
    let pair = Pair::new();
    pair.declare(&[Function {
        protocol: Protocol::H2c,
        ..function("f", 1)
    }]);
    pair.replicas(&id("f"), &[replica(1, grpc_origin().await)]);
    let io = TokioIo::new(pair.a.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let (pieces, body) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body = futures_util::stream::unfold(body, |mut body| async move {
        let piece = body.recv().await?;
        Some((Ok::<_, hyper::Error>(Frame::data(piece)), body))
    });
    let request = Request::post("http://f.test/s/m")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(BodyExt::boxed_unsync(StreamBody::new(body)))
        .unwrap();
    let answer = soon(sender.send_request(request)).await.unwrap();
    let mut answer = answer.into_body();
    for piece in ["one", "two"] {
        pieces.send(Bytes::from(piece)).await.unwrap();
        let frame = soon(answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    pair.b.until_load(&id("f"), 1, 0).await;
    drop(pieces);
    let end = soon(answer.collect()).await.unwrap();
    assert_eq!(end.trailers().unwrap()["grpc-status"], "0");
    pair.b.until_load(&id("f"), 0, 0).await;
}

#[tokio::test]
async fn h2c_clients_reach_http1_functions_through_a_hop() {
    let pair = pair(origin::echo().await).await;
    let io = TokioIo::new(pair.a.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::post("http://f.test/a").body(Full::new(Bytes::from("hello")));
        let answer = soon(sender.send_request(request.unwrap())).await.unwrap();
        let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(
            text.contains("POST /a\n") && text.contains("body 5"),
            "{text}"
        );
    }
}
