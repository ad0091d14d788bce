//! Connections that change protocol: WebSocket and whatever else `Upgrade` names.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::body::{AnswerBody, Hold, Patience};
use crate::cause::Cause;
use crate::head;
use crate::outcome::Outcome;
use crate::stack;
use crate::worker::Worker;

/// How long a client may stay after the replica has closed.
const LINGER: Duration = Duration::from_secs(2);

/// A close frame of a server: 1001, going away.
const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// The client's half of a change of protocol that has not happened yet.
pub(crate) fn client_side(parts: &mut Parts) -> Option<OnUpgrade> {
    parts.extensions.remove()
}

/// Answers a request for another protocol: with a tunnel, or like any other.
pub(crate) fn answer(
    worker: &Arc<Worker>,
    client: Option<OnUpgrade>,
    mut answer: Response<Incoming>,
    mut hold: Hold,
    patience: Patience,
    outcome: &mut Outcome,
) -> Response<AnswerBody> {
    // Whatever the replica makes of it, no other request follows on that connection.
    hold.lease = None;
    let (true, Some(client)) = (answer.status() == StatusCode::SWITCHING_PROTOCOLS, client) else {
        return stack::finish(answer, hold, patience);
    };
    outcome.cause = Cause::Upgraded;
    let replica = hyper::upgrade::on(&mut answer);
    let protocol = answer.headers_mut().remove(UPGRADE);
    let is_websocket = protocol
        .as_ref()
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let tunnel = carry(Arc::clone(worker), client, replica, hold, is_websocket);
    worker.shared.tasks.spawn(tunnel);
    let (mut parts, _) = answer.into_parts();
    head::answer(&mut parts.headers);
    parts
        .headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        parts.headers.insert(UPGRADE, protocol);
    }
    parts.version = http::Version::HTTP_11;
    Response::from_parts(parts, AnswerBody::empty())
}

/// Copies both ways until the replica has closed, an error, or the end of this process.
async fn carry(
    worker: Arc<Worker>,
    client: OnUpgrade,
    replica: OnUpgrade,
    hold: Hold,
    is_websocket: bool,
) {
    let (Ok(client), Ok(replica)) = tokio::join!(client, replica) else {
        return;
    };
    let (mut client, mut replica) = (TokioIo::new(client), TokioIo::new(replica));
    tokio::select! {
        // Errors end the tunnel as a close does; both sides see theirs.
        _ = exchange(&mut client, &mut replica) => {}
        () = worker.shared.cut.cancelled() => {
            if is_websocket {
                client.write_all(&GOING_AWAY).await.ok();
            }
            client.shutdown().await.ok();
        }
    }
    drop(hold);
}

/// A client that closes its half may still be answered; one that stays after the replica has closed
/// must not hold its place, so it gets [`LINGER`] to read the end and close as well.
async fn exchange(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    replica: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_replica, mut to_replica) = tokio::io::split(replica);
    let mut inwards = std::pin::pin!(pass(&mut from_client, &mut to_replica));
    let mut outwards = std::pin::pin!(pass(&mut from_replica, &mut to_client));
    tokio::select! {
        ended = &mut outwards => {
            ended?;
            // Elapsed or not: the replica is gone.
            tokio::time::timeout(LINGER, inwards).await.unwrap_or(Ok(()))
        }
        ended = &mut inwards => {
            ended?;
            outwards.await
        }
    }
}

/// Passes bytes on until the end, and then the end.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    tokio::io::copy(from, to).await?;
    to.shutdown().await
}
