//! One connection, from its request to its last message.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{HOST, ORIGIN, USER_AGENT};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use zeron_core::{Chain, FunctionId, Timestamp};

use super::super::dial::{SILENCE, limits};
use super::super::peer::Arrived;
use super::super::proto::{REVISION, WireStatMessages};
use super::Shared;
use crate::server::handshake::{Opening, Turned, read_request, refuse, switching};
use crate::socket::{Ended, Socket, Stream, hurry};

/// How often the other side is asked whether it is there, and how long it may stay silent.
const PING_EVERY: Duration = Duration::from_secs(10);
const GONE_AFTER: Duration = Duration::from_secs(30);
/// With what a bucket's name begins, and so the name of its Service.
const BUCKET: &str = "autoscaler-bucket";
/// A probe of the node, where a mesh rewrites its user agent.
const KUBELET_PROBE: HeaderName = HeaderName::from_static("k-kubelet-probe");

/// Serves one connection until it ends, or until it must part. When it said something last is in
/// `spoke`.
pub(super) async fn serve(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    spoke: &Mutex<Instant>,
    is_parting: oneshot::Receiver<()>,
) {
    hurry(&stream);
    let within = shared.config.head_within;
    let ended = match timeout(within, open(shared, Box::new(stream))).await {
        Err(_) => Ended::Late,
        Ok(Err(Opening::Failed(error))) => Ended::Connect(error),
        Ok(Err(Opening::Turned(turned))) => Ended::Closed(turned.to_string()),
        Ok(Ok(None)) => return,
        Ok(Ok(Some(socket))) => attend(shared, socket, spoke, is_parting).await,
    };
    match ended {
        Ended::Done | Ended::Closed(_) => {
            tracing::debug!(%peer, error = %Chain(&ended), "a connection for statistics is over");
        }
        ended => {
            tracing::info!(%peer, error = %Chain(&ended), "a connection for statistics ended");
        }
    }
}

/// Answers the request. `None`: it was a probe.
async fn open(shared: &Shared, mut stream: Stream) -> Result<Option<Socket>, Opening> {
    let answered = match read_request(&mut stream).await {
        Err(Opening::Turned(turned)) => Err(turned),
        Err(failed) => return Err(failed),
        Ok((request, _)) if is_probe(request.headers()) => {
            // It goes as soon as it has its status.
            drop(refuse(&mut stream, StatusCode::OK).await);
            return Ok(None);
        }
        Ok((request, rest)) => check(shared, &request).map(|head| (head, rest)),
    };
    match answered {
        Ok((head, rest)) => {
            stream.write_all(head.as_bytes()).await?;
            stream.flush().await?;
            let config = Some(limits());
            let socket = WebSocketStream::from_partially_read(stream, rest, Role::Server, config);
            Ok(Some(socket.await))
        }
        Err(turned) => {
            drop(refuse(&mut stream, turned.status).await);
            Err(turned.into())
        }
    }
}

fn is_probe(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).map(|it| it.as_bytes());
    agent.is_some_and(|it| it.starts_with(b"kube-probe/"))
        || headers.get(KUBELET_PROBE).is_some_and(|it| !it.is_empty())
}

/// The head of the answer to a request that may come in.
fn check(shared: &Shared, request: &Request<()>) -> Result<String, Turned> {
    let text = |name| request.headers().get(name)?.to_str().ok();
    let host = text(HOST).unwrap_or_default();
    let bucket = host.split('.').next().unwrap_or_default();
    if bucket.starts_with(BUCKET) && !shared.ownership.borrow().leads(bucket) {
        let why = format!("{bucket} is another's");
        return Err(Turned::new(StatusCode::MISDIRECTED_REQUEST, &why));
    }
    // A browser, on behalf of some page.
    let page = text(ORIGIN).map(|it| it.split_once("://").map_or(it, |(_, host)| host));
    if page.is_some_and(|page| !page.eq_ignore_ascii_case(host)) {
        return Err(Turned::new(StatusCode::FORBIDDEN, "a foreign origin"));
    }
    switching(request)
}

async fn attend(
    shared: &Shared,
    mut socket: Socket,
    spoke: &Mutex<Instant>,
    is_parting: oneshot::Receiver<()>,
) -> Ended {
    let ended = tokio::select! {
        // Its seat is gone.
        _ = is_parting => Ended::Done,
        ended = listen(shared, &mut socket, spoke) => ended,
    };
    if matches!(ended, Ended::Done) {
        let frame = CloseFrame {
            code: CloseCode::Restart,
            reason: "Restarting".into(),
        };
        drop(timeout(SILENCE, socket.close(Some(frame))).await);
    }
    ended
}

async fn listen(shared: &Shared, socket: &mut Socket, spoke: &Mutex<Instant>) -> Ended {
    let mut ping = interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            _ = ping.tick() => {
                if heard.elapsed() > GONE_AFTER {
                    return Ended::Late;
                }
                match timeout(SILENCE, socket.send(Message::Ping(Bytes::new()))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return error.into(),
                    Err(_) => return Ended::Late,
                }
            }
            received = socket.next() => {
                heard = Instant::now();
                match received {
                    Some(Ok(Message::Binary(message))) => take(shared, &message, spoke).await,
                    Some(Ok(Message::Close(_))) => {
                        return Ended::Closed("it said so".to_owned());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.into(),
                    None => return Ended::Closed("the stream ended".to_owned()),
                }
            }
        }
    }
}

/// Takes one message in; one that is not understood costs nothing but itself.
async fn take(shared: &Shared, message: &[u8], spoke: &Mutex<Instant>) {
    let messages = match WireStatMessages::decode(message) {
        Ok(decoded) => decoded.messages,
        Err(error) => {
            tracing::warn!(%error, "statistics that are not understood");
            return;
        }
    };
    let (at, now) = (Instant::now(), wall());
    let arrived = messages.into_iter().filter_map(|message| {
        let stat = message.stat?;
        let function = FunctionId::new(&message.namespace, REVISION, &message.name);
        let is_forwarded = stat.timestamp > 0;
        let sample = stat.sample(function, now)?;
        Some(Arrived {
            sample,
            at,
            is_forwarded,
        })
    });
    let arrived: Vec<Arrived> = arrived.collect();
    if !arrived.is_empty() {
        *spoke.lock() = at;
        shared.forwarder.take(arrived).await;
    }
}

fn wall() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_secs(now.unwrap_or_default().as_secs())
}
