//! Activators and autoscalers over real loopback sockets.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use zeron_core::EndpointId;
use zeron_wire::client::ClientTls;
use zeron_wire::{Coverage, DrainId, ServerConfig, ToActivator, ToAutoscaler};

use support::{
    Activator, Autoscaler, TOKEN, acknowledge, client, drain, id, is_drained, publish, soon, stat,
    told, wake,
};

#[tokio::test]
async fn the_load_of_two_activators_is_summed() {
    let mut autoscaler = Autoscaler::start().await;
    let a = Activator::start("a", &[autoscaler.address]);
    let b = Activator::start("b", &[autoscaler.address]);
    let _a = a.keep_reporting(vec![stat("f", 1.0, 1)]);
    let _b = b.keep_reporting(vec![stat("f", 2.5, 2)]);
    let merged = autoscaler.hear(|message| match message {
        ToAutoscaler::Stats(stats) => stats.into_iter().find(|it| it.in_flight == 3),
        _ => None,
    });
    let merged = merged.await;
    assert!(
        (merged.average_concurrency - 3.5).abs() < 1e-9,
        "{merged:?}"
    );
    assert_eq!(merged.busy, [(EndpointId(1), 3)]);
    assert_eq!(autoscaler.covered(true).await, Coverage::Complete);
}

#[tokio::test]
async fn a_wake_reaches_every_autoscaler_and_is_acknowledged_by_one() {
    let (mut one, mut two) = (Autoscaler::start().await, Autoscaler::start().await);
    let mut a = Activator::start("a", &[one.address, two.address]);
    let _reports = a.keep_reporting(Vec::new());
    one.covered(true).await;
    two.covered(true).await;
    a.send(ToAutoscaler::Wake(wake("f"))).await;
    for autoscaler in [&mut one, &mut two] {
        let heard = autoscaler.hear(|message| match message {
            ToAutoscaler::Wake(wake) => Some(wake),
            _ => None,
        });
        assert_eq!(heard.await, wake("f"));
    }
    let woken = ToActivator::Woken(id("f"));
    two.engine.sender.send(woken.clone()).await.unwrap();
    assert_eq!(a.order().await, woken);
}

#[tokio::test]
async fn a_wake_that_nobody_acknowledges_calls_back_after_20_ms() {
    let autoscaler = Autoscaler::start().await;
    let mut a = Activator::start("a", &[autoscaler.address]);
    let _reports = a.keep_reporting(Vec::new());
    autoscaler.covered(true).await;
    let before = Instant::now();
    a.send(ToAutoscaler::Wake(wake("f"))).await;
    assert_eq!(soon(a.unanswered.recv()).await, Some(wake("f")));
    assert!(before.elapsed() >= Duration::from_millis(20));
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_a_wake_calls_back_at_once() {
    let mut a = Activator::start("a", &[]);
    let before = Instant::now();
    a.send(ToAutoscaler::Wake(wake("f"))).await;
    assert_eq!(soon(a.unanswered.recv()).await, Some(wake("f")));
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn an_address_that_appears_is_dialled_at_once() {
    let autoscaler = Autoscaler::start().await;
    let a = Activator::start("a", &[]);
    let _reports = a.keep_reporting(Vec::new());
    a.addresses.send(vec![autoscaler.address]).unwrap();
    autoscaler.covered(true).await;
}

#[tokio::test]
async fn a_drain_is_acknowledged_by_both_before_the_engine_hears_it() {
    let mut autoscaler = Autoscaler::start().await;
    let mut a = Activator::start("a", &[autoscaler.address]);
    let mut b = Activator::start("b", &[autoscaler.address]);
    let _reports = (a.keep_reporting(Vec::new()), b.keep_reporting(Vec::new()));
    let names = ["a".to_owned(), "b".to_owned()];
    let (_told, expected) = tokio::sync::watch::channel(Some(names.into()));
    autoscaler.hub.expect(expected);
    autoscaler.covered(true).await;
    publish(&autoscaler, &[7, 8]);
    autoscaler.engine.sender.send(drain(1, 1)).await.unwrap();
    let for_a = told(&mut a).await;
    assert_eq!(for_a.victims, Some(vec![EndpointId(8)]));
    acknowledge(&a, &for_a).await;
    let for_b = told(&mut b).await;
    assert_eq!(for_b, for_a);
    acknowledge(&b, &for_b).await;
    let drained = autoscaler.hear(is_drained).await;
    assert_eq!(
        (drained.id, drained.endpoints),
        (DrainId(1), vec![EndpointId(8)])
    );
}

#[tokio::test]
async fn an_interrupted_drain_is_taken_back_and_made_again() {
    let mut autoscaler = Autoscaler::start().await;
    let relay = Relay::start(autoscaler.address).await;
    let mut a = Activator::start("a", &[relay.address]);
    let mut b = Activator::start("b", &[autoscaler.address]);
    let _reports = (a.keep_reporting(Vec::new()), b.keep_reporting(Vec::new()));
    let names = ["a".to_owned(), "b".to_owned()];
    let (_told, expected) = tokio::sync::watch::channel(Some(names.into()));
    autoscaler.hub.expect(expected);
    autoscaler.covered(true).await;
    publish(&autoscaler, &[7, 8]);
    autoscaler.engine.sender.send(drain(1, 1)).await.unwrap();
    let first = told(&mut a).await;
    let for_b = told(&mut b).await;
    acknowledge(&b, &for_b).await;
    relay.cut();
    assert_eq!(a.order().await, ToActivator::Cancel(first.id));
    let partial = autoscaler.covered(false).await;
    assert_eq!(
        partial,
        Coverage::Partial {
            message: "not heard: a".to_owned()
        }
    );
    relay.mend();
    let again = told(&mut a).await;
    assert_eq!(again, first);
    acknowledge(&a, &again).await;
    assert_eq!(autoscaler.hear(is_drained).await.id, DrainId(1));
    autoscaler.covered(true).await;
}

#[tokio::test]
async fn a_silent_autoscaler_is_dropped() {
    let autoscaler = Autoscaler::start().await;
    let relay = Relay::start(autoscaler.address).await;
    let mut a = Activator::start("a", &[relay.address]);
    let reports = a.keep_reporting(Vec::new());
    autoscaler.covered(true).await;
    relay.stall();
    a.send(ToAutoscaler::Wake(wake("before"))).await;
    assert_eq!(soon(a.unanswered.recv()).await, Some(wake("before")));
    // Once it is dropped, nobody is waited for.
    let is_dropped = async {
        for attempt in 0.. {
            let before = Instant::now();
            let wake = wake(&attempt.to_string());
            a.send(ToAutoscaler::Wake(wake)).await;
            a.unanswered.recv().await.unwrap();
            if before.elapsed() < Duration::from_millis(15) {
                return;
            }
        }
    };
    soon(is_dropped).await;
    drop(reports);
}

#[tokio::test]
async fn a_goodbye_is_heard_before_the_connection_ends() {
    let mut autoscaler = Autoscaler::start().await;
    let mut a = Activator::start("a", &[autoscaler.address]);
    let b = Activator::start("b", &[autoscaler.address]);
    let reports = (a.keep_reporting(Vec::new()), b.keep_reporting(Vec::new()));
    let names = ["a".to_owned(), "b".to_owned()];
    let (_told, expected) = tokio::sync::watch::channel(Some(names.into()));
    autoscaler.hub.expect(expected);
    autoscaler.covered(true).await;
    let mut coverage = autoscaler.hub.coverage();
    coverage.mark_unchanged();
    a.send(ToAutoscaler::Goodbye).await;
    assert_eq!(soon(a.link.receiver.recv()).await, None, "all is written");
    for _ in 0..3 {
        let merged = autoscaler.hear(|it| matches!(it, ToAutoscaler::Stats(_)).then_some(()));
        merged.await;
    }
    assert!(!coverage.has_changed().unwrap());
    drop(reports);
}

#[tokio::test]
async fn a_killed_activator_is_missed_by_name_and_welcome_back() {
    let autoscaler = Autoscaler::start().await;
    let a = Activator::start("a", &[autoscaler.address]);
    let b = Activator::start("b", &[autoscaler.address]);
    let _reports = a.keep_reporting(Vec::new());
    let killed = b.keep_reporting(Vec::new());
    let names = ["a".to_owned(), "b".to_owned()];
    let (_told, expected) = tokio::sync::watch::channel(Some(names.into()));
    autoscaler.hub.expect(expected);
    autoscaler.covered(true).await;
    drop((b, killed));
    let message = "not heard: b".to_owned();
    assert_eq!(
        autoscaler.covered(false).await,
        Coverage::Partial { message }
    );
    let b = Activator::start("b", &[autoscaler.address]);
    let _again = b.keep_reporting(Vec::new());
    autoscaler.covered(true).await;
}

// === who may come in ===

#[tokio::test]
async fn a_wrong_token_is_refused_and_the_next_dial_reads_it_anew() {
    let autoscaler = Autoscaler::start().await;
    let (mut config, it) = client("a", &[autoscaler.address]);
    let (told, token) = tokio::sync::watch::channel("wrong".to_owned());
    config.token = std::sync::Arc::new(move || Some(token.borrow().clone()));
    let mut a = Activator::with(config, it);
    let _reports = a.keep_reporting(Vec::new());
    assert_eq!(status(autoscaler.address, "Bearer wrong").await, 401);
    assert_eq!(status(autoscaler.address, "Basic secret").await, 401);
    a.send(ToAutoscaler::Wake(wake("f"))).await;
    soon(a.unanswered.recv()).await.unwrap();
    told.send(TOKEN.to_owned()).unwrap();
    autoscaler.covered(true).await;
}

#[tokio::test]
async fn other_paths_and_long_heads_are_refused() {
    let autoscaler = Autoscaler::start().await;
    let request = "GET /other HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(answer(autoscaler.address, request).await, 404);
    let request = "GET /zeron.v1 HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(answer(autoscaler.address, request).await, 400, "no upgrade");
    let request = format!("GET /zeron.v1 HTTP/1.1\r\nx: {}", "y".repeat(40_000));
    assert_eq!(answer(autoscaler.address, &request).await, 431);
}

#[tokio::test]
async fn a_handshake_without_end_is_closed() {
    let config = ServerConfig {
        handshake_within: Duration::from_millis(200),
        ..ServerConfig::new("127.0.0.1:0".parse().unwrap())
    };
    let autoscaler = Autoscaler::start_with(config).await;
    let mut stream = TcpStream::connect(autoscaler.address).await.unwrap();
    stream
        .write_all(b"GET /zeron.v1 HTTP/1.1\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, []);
}

#[tokio::test]
async fn connections_beyond_the_cap_are_closed() {
    let config = ServerConfig {
        max_connections: 1,
        ..ServerConfig::new("127.0.0.1:0".parse().unwrap())
    };
    let autoscaler = Autoscaler::start_with(config).await;
    let a = Activator::start("a", &[autoscaler.address]);
    let _reports = a.keep_reporting(Vec::new());
    autoscaler.covered(true).await;
    let mut stream = TcpStream::connect(autoscaler.address).await.unwrap();
    let mut rest = Vec::new();
    // Closed without a word, or reset.
    drop(soon(stream.read_to_end(&mut rest)).await);
    assert_eq!(rest, []);
}

#[tokio::test]
async fn an_oversized_frame_ends_the_connection() {
    let autoscaler = Autoscaler::start().await;
    let mut stream = TcpStream::connect(autoscaler.address).await.unwrap();
    let head = upgrade(&format!("Bearer {TOKEN}"));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    soon(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    // A masked binary frame that announces 2 MiB.
    let mut frame = vec![0x82, 0xff];
    frame.extend((2_u64 << 20).to_be_bytes());
    frame.extend([0; 4]);
    stream.write_all(&frame).await.unwrap();
    let mut rest = Vec::new();
    drop(soon(stream.read_to_end(&mut rest)).await);
    assert!(rest.len() < 1_024);
}

#[tokio::test]
async fn who_speaks_no_common_version_is_told_which_are_spoken() {
    let autoscaler = Autoscaler::start().await;
    let mut stream = TcpStream::connect(autoscaler.address).await.unwrap();
    let head = upgrade(&format!("Bearer {TOKEN}"));
    stream.write_all(head.as_bytes()).await.unwrap();
    // A masked binary frame (the mask is zero): hello of "a", who speaks version 2 alone.
    let hello = [0x0a, 5, 0x08, 2, 0x12, 1, b'a'];
    let mut frame = vec![0x82, 0x80 | 7, 0, 0, 0, 0];
    frame.extend(hello);
    stream.write_all(&frame).await.unwrap();
    let mut rest = Vec::new();
    drop(soon(stream.read_to_end(&mut rest)).await);
    let rest = String::from_utf8_lossy(&rest);
    let reason = "no version of the protocol in common: version 1 here, version 2 there";
    assert!(rest.contains(reason), "{rest}");
}

/// Either end is upgraded first: what the new one says beyond the version that both speak is passed
/// over, in both directions.
#[cfg(debug_assertions)]
#[tokio::test]
async fn an_activator_and_an_autoscaler_of_the_next_build_are_understood() {
    use zeron_wire::{ClientConfig, Versions};
    let (ours, next) = (Versions::OURS, Versions::of_next_build());
    for (above, below) in [(ours, next), (next, ours), (next, next)] {
        let config = ServerConfig {
            versions: above,
            ..ServerConfig::new("127.0.0.1:0".parse().unwrap())
        };
        let mut autoscaler = Autoscaler::start_with(config).await;
        let (config, rest) = client("a", &[autoscaler.address]);
        let config = ClientConfig {
            versions: below,
            ..config
        };
        let mut a = Activator::with(config, rest);
        let _reports = a.keep_reporting(vec![stat("f", 1.0, 1)]);
        autoscaler.covered(true).await;
        publish(&autoscaler, &[7, 8]);
        autoscaler.engine.sender.send(drain(1, 1)).await.unwrap();
        let order = told(&mut a).await;
        acknowledge(&a, &order).await;
        let drained = autoscaler.hear(is_drained).await;
        assert_eq!(drained.id, DrainId(1), "{above}, {below}");
        a.send(ToAutoscaler::Wake(wake("f"))).await;
        let is_wake = |message| matches!(message, ToAutoscaler::Wake(_)).then_some(());
        autoscaler.hear(is_wake).await;
    }
}

#[tokio::test]
async fn both_ends_may_speak_tls() {
    let made = rcgen::generate_simple_self_signed(vec!["autoscaler".to_owned()]).unwrap();
    let provider = || std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = made.signing_key.serialize_der();
    let server = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.try_into().unwrap())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let autoscaler = Autoscaler::start_with(ServerConfig {
        tls: Some(server.into()),
        ..ServerConfig::new("127.0.0.1:0".parse().unwrap())
    })
    .await;
    let (mut config, it) = client("a", &[autoscaler.address]);
    config.tls = Some(ClientTls {
        config: trusting.into(),
        server_name: "autoscaler".try_into().unwrap(),
    });
    let a = Activator::with(config, it);
    let _reports = a.keep_reporting(Vec::new());
    autoscaler.covered(true).await;
}

// === tools ===

fn upgrade(authorization: &str) -> String {
    format!(
        "GET /zeron.v1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: {authorization}\r\n\r\n"
    )
}

async fn status(address: std::net::SocketAddr, authorization: &str) -> u16 {
    answer(address, &upgrade(authorization)).await
}

async fn answer(address: std::net::SocketAddr, request: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    soon(stream.read_exact(&mut head)).await.unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

/// A wire between the two that can be cut and stalled.
struct Relay {
    address: std::net::SocketAddr,
    state: tokio::sync::watch::Sender<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    Whole,
    Stalled,
    Cut,
}

impl Relay {
    async fn start(to: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, line) = tokio::sync::watch::channel(Line::Whole);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, line.clone()));
            }
        });
        Self { address, state }
    }

    fn cut(&self) {
        self.state.send_replace(Line::Cut);
    }

    fn stall(&self) {
        self.state.send_replace(Line::Stalled);
    }

    fn mend(&self) {
        self.state.send_replace(Line::Whole);
    }
}

async fn carry(
    mut near: TcpStream,
    to: std::net::SocketAddr,
    mut line: tokio::sync::watch::Receiver<Line>,
) {
    if *line.borrow() != Line::Whole {
        return;
    }
    let mut far = TcpStream::connect(to).await.unwrap();
    let is_cut = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => true,
        changed = line.wait_for(|it| *it != Line::Whole) => {
            changed.is_ok_and(|line| *line == Line::Cut)
        }
    };
    if !is_cut {
        // Open, and nothing passes.
        std::future::pending::<()>().await;
    }
}
