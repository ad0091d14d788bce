//! One autoscaler's address: dial it, keep the connection, dial again.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use zeron_core::Chain;

use super::ClientConfig;
use super::drains::ConnectionId;
use super::outgoing::{Next, Outgoing};
use crate::codec::{self, FromAutoscaler};
use crate::message::ToActivator;
use crate::socket::{Ended, PATH, PING_EVERY, SILENCE, Socket, Stream, hurry, limits, say, send};
use crate::version::Versions;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long it may take from there to the autoscaler's welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(5);
/// Pauses between attempts: doubled each time, with up to half of it left out by chance.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of connections.
#[derive(Debug)]
pub(super) enum Event {
    Up(ConnectionId, Arc<Outgoing>),
    Order(ConnectionId, ToActivator),
    Down(ConnectionId),
}

/// Keeps one address connected for as long as it is wanted, or until this end is done.
pub(super) async fn keep(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    events: mpsc::Sender<Event>,
) {
    let mut addresses = config.addresses.clone();
    let mut pause = SHORTEST_PAUSE;
    let mut last_error = String::new();
    while addresses.borrow_and_update().contains(&address) {
        let ended = match dial(&config, address).await {
            Ok((socket, version)) => {
                pause = SHORTEST_PAUSE;
                last_error.clear();
                tracing::info!(%address, version, "connected to an autoscaler");
                converse(&config, socket, &events).await
            }
            Err(error) => error,
        };
        if matches!(ended, Ended::Done) {
            return;
        }
        let error = Chain(&ended).to_string();
        if error != last_error {
            tracing::warn!(%address, error, "no connection to an autoscaler");
            last_error = error;
        }
        tokio::select! {
            () = sleep(jittered(pause)) => {}
            () = unwanted(&mut addresses, address) => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn unwanted(addresses: &mut tokio::sync::watch::Receiver<Vec<SocketAddr>>, it: SocketAddr) {
    let gone = addresses.wait_for(|addresses| !addresses.contains(&it));
    if gone.await.is_err() {
        // Nobody says any more which addresses there are: what was said last holds.
        std::future::pending::<()>().await;
    }
}

/// Between half of `pause` and all of it.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(()) % 1_000;
    pause.mul_f64(1.0 - chance as f64 / 2_000.0)
}

/// A connection with the version that is spoken on it.
async fn dial(config: &ClientConfig, address: SocketAddr) -> Result<(Socket, u32), Ended> {
    let stream = timeout(CONNECT_WITHIN, TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| Ended::Late)?.map_err(Ended::Connect)?;
    hurry(&stream);
    let welcome = timeout(WELCOME_WITHIN, introduce(config, address, stream)).await;
    welcome.map_err(|_| Ended::Late)?
}

async fn introduce(
    config: &ClientConfig,
    address: SocketAddr,
    stream: TcpStream,
) -> Result<(Socket, u32), Ended> {
    let stream: Stream = match &config.tls {
        None => Box::new(stream),
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(&tls.config));
            let connected = connector.connect(tls.server_name.clone(), stream).await;
            Box::new(connected.map_err(Ended::Connect)?)
        }
    };
    let mut request = format!("ws://{address}{PATH}").into_client_request()?;
    if let Some(token) = (config.token)() {
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.trim()));
        let mut bearer = bearer.map_err(|_| Ended::Token)?;
        bearer.set_sensitive(true);
        request
            .headers_mut()
            .insert(http::header::AUTHORIZATION, bearer);
    }
    let (mut socket, _) = client_async_with_config(request, stream, Some(limits())).await?;
    let hello = codec::hello(config.versions, &config.name);
    say(&mut socket, config.versions, hello).await?;
    match receive(socket.next().await)? {
        Some(FromAutoscaler::Welcome { version }) if config.versions.contains(version) => {
            Ok((socket, version))
        }
        Some(FromAutoscaler::Welcome { version }) => Err(Ended::Chosen(version)),
        Some(FromAutoscaler::Order(_) | FromAutoscaler::Unknown) | None => {
            Err(Ended::Order("no welcome"))
        }
    }
}

type Received = Option<Result<Message, tokio_tungstenite::tungstenite::Error>>;

/// A message, or `None` for what only shows that the other side lives.
fn receive(received: Received) -> Result<Option<FromAutoscaler>, Ended> {
    match received.ok_or_else(|| Ended::Closed("the stream ended".to_owned()))?? {
        Message::Binary(frame) => Ok(Some(codec::from_autoscaler(&frame)?)),
        Message::Close(reason) => {
            let reason = reason.map(|it| it.reason.to_string());
            Err(Ended::Closed(reason.unwrap_or_default()))
        }
        Message::Ping(_) | Message::Pong(_) => Ok(None),
        Message::Text(_) | Message::Frame(_) => Err(Ended::Order("text")),
    }
}

async fn converse(config: &ClientConfig, socket: Socket, events: &mpsc::Sender<Event>) -> Ended {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let outgoing = Arc::new(Outgoing::default());
    if events
        .send(Event::Up(id, Arc::clone(&outgoing)))
        .await
        .is_err()
    {
        return Ended::Done;
    }
    let (sink, stream) = socket.split();
    let ended = tokio::select! {
        ended = read(id, stream, events) => ended,
        ended = write(sink, &outgoing, config.versions) => ended,
        () = events.closed() => Ended::Done,
    };
    // Nobody listens: nobody misses it.
    drop(events.send(Event::Down(id)).await);
    ended
}

async fn read(
    id: ConnectionId,
    mut stream: SplitStream<Socket>,
    events: &mpsc::Sender<Event>,
) -> Ended {
    loop {
        let Ok(received) = timeout(SILENCE, stream.next()).await else {
            return Ended::Silent;
        };
        let order = match receive(received) {
            Ok(Some(FromAutoscaler::Order(order))) => order,
            Ok(Some(FromAutoscaler::Welcome { .. })) => return Ended::Order("a second welcome"),
            Ok(Some(FromAutoscaler::Unknown) | None) => continue,
            Err(ended) => return ended,
        };
        if events.send(Event::Order(id, order)).await.is_err() {
            return Ended::Done;
        }
    }
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    outgoing: &Outgoing,
    versions: Versions,
) -> Ended {
    let mut ping = interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut is_last = false;
        let sent = tokio::select! {
            // Also between the frames of much: silence would end the connection.
            biased;
            _ = ping.tick() => send(&mut sink, Message::Ping(bytes::Bytes::new())).await,
            next = outgoing.take() => match next {
                Next::Frame(frame) => say(&mut sink, versions, frame).await,
                Next::Goodbye(frame) => {
                    is_last = true;
                    say(&mut sink, versions, frame).await
                }
                Next::Behind => return Ended::Late,
            },
        };
        match sent {
            Ok(()) if is_last => break,
            Ok(()) => {}
            Err(ended) => return ended,
        }
    }
    // The goodbye is written; a close that gets lost changes nothing.
    drop(timeout(SILENCE, sink.close()).await);
    Ended::Done
}
