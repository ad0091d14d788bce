//! Knative's stat protocol over real loopback sockets.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use zeron_core::{BucketSet, FunctionId, Holder, Owner, Ownership, Sample, Stat, Timestamp};
use zeron_wire::knative::proto::{self, WireStatMessage, WireStatMessages};
use zeron_wire::knative::{Forwarder, StatClient, StatClientConfig, StatServer, StatServerConfig};
use zeron_wire::{AutoscalerLink, ToAutoscaler, Wake, link};

use support::soon;

type Client = WebSocketStream<TcpStream>;

/// An autoscaler's end: its server, and what its engine hears.
struct Autoscaler {
    address: SocketAddr,
    engine: AutoscalerLink,
    ownership: watch::Sender<Arc<Ownership>>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl Autoscaler {
    async fn start(owner: Owner) -> Self {
        Self::with(owner, |_| {}).await
    }

    async fn with(owner: Owner, set: impl FnOnce(&mut StatServerConfig)) -> Self {
        let (ownership, told) = watch::channel(owned_by(&owner));
        let (ours, engine) = link();
        let forwarder = Forwarder::start(told.clone(), ours);
        let mut config = StatServerConfig::new("127.0.0.1:0".parse().unwrap());
        set(&mut config);
        let server = StatServer::bind(config, forwarder, told).await.unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async {
            drop(stopped.await);
        }));
        Self {
            address,
            engine,
            ownership,
            stop: Some(stop),
            served,
        }
    }

    fn is_owned_by(&self, owner: &Owner) {
        self.ownership.send_replace(owned_by(owner));
    }

    async fn heard(&mut self) -> Vec<Sample> {
        match soon(self.engine.receiver.recv()).await.unwrap() {
            ToAutoscaler::Samples(samples) => samples,
            other => panic!("{other:?}"),
        }
    }

    async fn socket(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (socket, _) = client_async("ws://autoscaler:8080/", stream).await.unwrap();
        socket
    }

    /// The answer to a plain request.
    async fn answer(&self, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }
}

fn owned_by(owner: &Owner) -> Arc<Ownership> {
    let buckets = Arc::new(BucketSet::of_autoscaler(1));
    Arc::new(Ownership::new(buckets, |_| owner.clone()))
}

fn at(name: &str, addresses: &[String]) -> Owner {
    Owner::Other(Holder {
        name: name.into(),
        addresses: addresses.into(),
    })
}

fn revision(name: &str) -> FunctionId {
    FunctionId::new("ns", "Revision", name)
}

fn message(name: &str, stat: proto::Stat) -> Message {
    let message = WireStatMessage {
        namespace: "ns".to_owned(),
        name: name.to_owned(),
        stat: Some(stat),
    };
    let messages = vec![message];
    Message::Binary(WireStatMessages { messages }.encode_to_vec().into())
}

fn first(timestamp: i64) -> proto::Stat {
    proto::Stat {
        pod_name: "act".to_owned(),
        average_concurrent_requests: 1.0,
        request_count: 1.0,
        timestamp,
        ..proto::Stat::default()
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn what_is_ours_reaches_the_engine_with_the_time_at_which_it_was_heard() {
    let mut autoscaler = Autoscaler::start(Owner::Us).await;
    let mut socket = autoscaler.socket().await;
    let before = now();
    socket.send(message("a", first(0))).await.unwrap();
    let samples = autoscaler.heard().await;
    let heard = samples[0].at.as_secs();
    assert!((before..=now()).contains(&heard), "{heard}");
    let expected = Sample {
        function: revision("a"),
        at: Timestamp::from_secs(heard),
        average_concurrency: 1.0,
        average_proxied_concurrency: 0.0,
        request_count: 1.0,
        proxied_request_count: 0.0,
        pod: "act".into(),
    };
    assert_eq!(samples, [expected]);
    socket.send(message("a", first(1_234))).await.unwrap();
    assert_eq!(autoscaler.heard().await[0].at, Timestamp::from_secs(1_234));
}

#[tokio::test]
async fn a_message_that_is_not_understood_costs_only_itself() {
    let mut autoscaler = Autoscaler::start(Owner::Us).await;
    let mut socket = autoscaler.socket().await;
    let rubbish = [
        Message::Binary(vec![0xff; 9].into()),
        Message::Text("{}".into()),
        Message::Binary(Vec::new().into()),
    ];
    for it in rubbish {
        socket.send(it).await.unwrap();
    }
    let mut endless = first(0);
    endless.request_count = f64::INFINITY;
    socket.send(message("a", endless)).await.unwrap();
    socket.send(message("b", first(0))).await.unwrap();
    let heard = autoscaler.heard().await;
    assert_eq!((heard.len(), &heard[0].function), (1, &revision("b")));
}

#[tokio::test]
async fn probes_are_answered_and_strangers_are_turned_away() {
    let autoscaler = Autoscaler::start(at("other", &[])).await;
    let bucket = "autoscaler-bucket-00-of-01.knative-serving.svc.cluster.local:8080";
    for (headers, status) in [
        (
            "Host: 10.0.0.1:8080\r\nUser-Agent: kube-probe/1.35\r\n",
            200,
        ),
        (
            "Host: x\r\nUser-Agent: mesh\r\nK-Kubelet-Probe: value\r\n",
            200,
        ),
        ("Host: x\r\n", 400),
        (&format!("Host: {bucket}\r\n{UPGRADE}"), 421),
        (
            &format!("Host: x\r\nOrigin: http://evil.example\r\n{UPGRADE}"),
            403,
        ),
    ] {
        let answer = autoscaler.answer(headers).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{headers}: {answer}");
        assert!(answer.contains("content-length: 0\r\n"), "{answer}");
    }
    autoscaler.is_owned_by(&Owner::Us);
    let stream = TcpStream::connect(autoscaler.address).await.unwrap();
    client_async(format!("ws://{bucket}/"), stream)
        .await
        .unwrap();
}

#[tokio::test]
async fn who_stops_asks_everybody_to_connect_elsewhere() {
    let mut autoscaler = Autoscaler::start(Owner::Us).await;
    let mut socket = autoscaler.socket().await;
    drop(autoscaler.stop.take());
    assert_eq!(told_to_part(&mut socket).await, (1012, "Restarting".into()));
    drop(socket);
    soon(autoscaler.served).await.unwrap();
}

/// Code and reason of the close frame that comes.
async fn told_to_part(socket: &mut Client) -> (u16, String) {
    loop {
        match soon(socket.next()).await.unwrap().unwrap() {
            Message::Close(reason) => {
                let reason = reason.unwrap();
                return (reason.code.into(), reason.reason.to_string());
            }
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn who_is_silent_longest_makes_room_for_one_more() {
    let full = |config: &mut StatServerConfig| {
        (config.max_connections, config.silent_after) = (2, Duration::ZERO);
    };
    let mut autoscaler = Autoscaler::with(Owner::Us, full).await;
    let (mut older, mut newer) = (autoscaler.socket().await, autoscaler.socket().await);
    older.send(message("a", first(0))).await.unwrap();
    autoscaler.heard().await;
    let mut third = autoscaler.socket().await;
    assert_eq!(told_to_part(&mut newer).await, (1012, "Restarting".into()));
    for (name, socket) in [("b", &mut older), ("c", &mut third)] {
        socket.send(message(name, first(0))).await.unwrap();
        assert_eq!(autoscaler.heard().await[0].function, revision(name));
    }
}

#[tokio::test]
async fn where_nobody_is_silent_one_too_many_is_closed() {
    let full = |config: &mut StatServerConfig| config.max_connections = 1;
    let mut autoscaler = Autoscaler::with(Owner::Us, full).await;
    let mut socket = autoscaler.socket().await;
    let mut stream = TcpStream::connect(autoscaler.address).await.unwrap();
    let read = soon(stream.read(&mut [0])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    socket.send(message("a", first(0))).await.unwrap();
    assert_eq!(autoscaler.heard().await[0].function, revision("a"));
}

#[tokio::test]
async fn what_is_anothers_goes_to_its_owner_by_the_first_address_that_answers() {
    let mut owner = Autoscaler::start(Owner::Us).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = nobody.local_addr().unwrap().to_string();
    let addresses = [silent, owner.address.to_string()];
    let other = Autoscaler::start(at("owner", &addresses)).await;
    let mut socket = other.socket().await;
    let before = now();
    socket.send(message("a", first(0))).await.unwrap();
    let heard = owner.heard().await;
    assert_eq!((heard.len(), &heard[0].function), (1, &revision("a")));
    assert!((before..=now()).contains(&heard[0].at.as_secs()));
}

#[tokio::test]
async fn what_nobody_owns_waits_until_somebody_does() {
    let mut autoscaler = Autoscaler::start(Owner::Nobody).await;
    let mut socket = autoscaler.socket().await;
    for name in ["a", "b"] {
        socket.send(message(name, first(0))).await.unwrap();
    }
    // Whatever was said before this answer has been taken in.
    socket
        .send(Message::Ping(b"x".to_vec().into()))
        .await
        .unwrap();
    loop {
        match soon(socket.next()).await.unwrap().unwrap() {
            Message::Pong(_) => break,
            _ => continue,
        }
    }
    autoscaler.is_owned_by(&Owner::Us);
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.extend(autoscaler.heard().await);
    }
    let names = heard.iter().map(|sample| sample.function.name().to_owned());
    assert!(names.eq(["a", "b"]));
}

#[tokio::test]
async fn what_could_not_be_sent_to_a_former_owner_goes_to_the_next() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap().to_string();
    let mut autoscaler = Autoscaler::start(at("gone", &[address])).await;
    let mut socket = autoscaler.socket().await;
    socket.send(message("a", first(0))).await.unwrap();
    // It is on its way: the connection is tried.
    drop(soon(gone.accept()).await.unwrap());
    autoscaler.is_owned_by(&Owner::Us);
    assert_eq!(autoscaler.heard().await[0].function, revision("a"));
}

/// What an autoscaler of Knative's hears.
struct Heard {
    address: String,
    messages: mpsc::Receiver<WireStatMessage>,
}

impl Heard {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, messages) = mpsc::channel(64);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            while let Some(Ok(Message::Binary(bytes))) = socket.next().await {
                for message in WireStatMessages::decode(bytes).unwrap().messages {
                    sender.send(message).await.unwrap();
                }
            }
        });
        Self { address, messages }
    }

    async fn next(&mut self) -> (String, f64, f64) {
        let message = soon(self.messages.recv()).await.unwrap();
        let stat = message.stat.unwrap();
        assert_eq!((stat.pod_name.as_str(), stat.timestamp), ("act", 0));
        let amounts = (stat.average_concurrent_requests, stat.request_count);
        (
            format!("{}/{}", message.namespace, message.name),
            amounts.0,
            amounts.1,
        )
    }
}

fn wake(name: &str) -> ToAutoscaler {
    ToAutoscaler::Wake(Wake {
        function: revision(name),
        in_flight: 0,
        queued: 1,
    })
}

fn stats(name: &str, concurrency: f64, count: f64, in_flight: u32) -> ToAutoscaler {
    ToAutoscaler::Stats(vec![Stat {
        function: revision(name),
        at: Timestamp::EPOCH,
        average_concurrency: concurrency,
        request_count: count,
        in_flight,
        queued: 0,
        busy: Vec::new(),
    }])
}

#[tokio::test]
async fn an_activator_is_heard_as_one_of_knatives() {
    let mut autoscaler = Heard::start().await;
    let client = StatClient::connect(StatClientConfig::new("act", &autoscaler.address));
    let mut state = client.state.clone();
    soon(state.wait_for(|it| it.is_reachable)).await.unwrap();
    let sender = &client.link.sender;
    let name = || "ns/a".to_owned();
    sender.send(wake("a")).await.unwrap();
    assert_eq!(autoscaler.next().await, (name(), 1.0, 1.0));
    // Asked again: it was told already.
    sender.send(wake("a")).await.unwrap();
    sender.send(stats("a", 2.5, 3.0, 1)).await.unwrap();
    assert_eq!(autoscaler.next().await, (name(), 1.5, 2.0));
    sender.send(stats("a", 1.0, 0.0, 1)).await.unwrap();
    assert_eq!(autoscaler.next().await, (name(), 1.0, 0.0));
    sender.send(ToAutoscaler::Stats(Vec::new())).await.unwrap();
    assert_eq!(autoscaler.next().await, (name(), 0.0, 0.0));
    sender.send(ToAutoscaler::Goodbye).await.unwrap();
    assert_eq!(soon(autoscaler.messages.recv()).await, None);
    soon(sender.closed()).await;
}

#[tokio::test]
async fn a_long_report_arrives_whole() {
    let mut autoscaler = Autoscaler::start(Owner::Us).await;
    let config = StatClientConfig::new("act", &autoscaler.address.to_string());
    let client = StatClient::connect(config);
    let mut state = client.state.clone();
    soon(state.wait_for(|it| it.is_reachable)).await.unwrap();
    let long = "x".repeat(63);
    let stat = |index: u32| Stat {
        function: FunctionId::new(&long, "Revision", &format!("{long}-{index}")),
        at: Timestamp::EPOCH,
        average_concurrency: 1.0,
        request_count: 1.0,
        in_flight: 1,
        queued: 0,
        busy: Vec::new(),
    };
    let report = (0..40_000).map(stat).collect();
    client
        .link
        .sender
        .send(ToAutoscaler::Stats(report))
        .await
        .unwrap();
    let mut heard = 0;
    while heard < 40_000 {
        heard += autoscaler.heard().await.len();
    }
    assert_eq!((heard, client.state.borrow().errors), (40_000, 0));
}

#[tokio::test]
async fn a_first_request_that_nobody_heard_is_told_with_the_next_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = StatClient::connect(StatClientConfig::new("act", &address));
    client.link.sender.send(wake("a")).await.unwrap();
    // Refused once.
    drop(soon(listener.accept()).await.unwrap());
    let (stream, _) = soon(listener.accept()).await.unwrap();
    let mut socket = soon(accept_async(stream)).await.unwrap();
    let bytes = soon(socket.next()).await.unwrap().unwrap().into_data();
    let heard = WireStatMessages::decode(bytes).unwrap().messages;
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].stat.as_ref().unwrap().request_count, 1.0);
    assert!(client.state.borrow().errors >= 1);
}

#[tokio::test]
async fn an_activator_of_ours_is_heard_through_whichever_autoscaler_answers() {
    let mut owner = Autoscaler::start(Owner::Us).await;
    let other = Autoscaler::start(at("owner", &[owner.address.to_string()])).await;
    let config = StatClientConfig::new("act", &other.address.to_string());
    let client = StatClient::connect(config);
    client.link.sender.send(wake("a")).await.unwrap();
    let heard = owner.heard().await;
    assert_eq!(
        (&heard[0].function, &*heard[0].pod),
        (&revision("a"), "act")
    );
}
