//! One activator's connection, from the first byte to the last.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use zeron_core::{Chain, Stat};

use super::handshake::upgrade;
use super::{Identity, Shared};
use crate::codec::{self, FromActivator, MAX_PARTS};
use crate::hub::{Said, Seat, Voice};
use crate::message::ToActivator;
use crate::socket::{Ended, SILENCE, Socket, Stream, hurry, say};
use crate::version::Versions;

/// The longest name: a pod's.
const MAX_NAME: usize = 253;

/// Serves one connection until it ends.
pub(super) async fn serve(shared: &Shared, stream: TcpStream, peer: SocketAddr) {
    hurry(&stream);
    let within = shared.config.handshake_within;
    let ended = match timeout(within, come_in(shared, stream, peer)).await {
        Err(_) => Ended::Late,
        Ok(Err(ended)) => ended,
        Ok(Ok(guest)) => attend(shared, guest).await,
    };
    match ended {
        Ended::Done => tracing::debug!(%peer, "an activator's connection is over"),
        // Said where the activator's name is known.
        Ended::Versions { .. } => {}
        ended => tracing::warn!(%peer, error = %Chain(&ended), "an activator's connection ended"),
    }
}

/// Who came in.
struct Guest {
    socket: Socket,
    name: String,
    identity: Identity,
    /// Which version is spoken.
    version: u32,
}

async fn come_in(shared: &Shared, stream: TcpStream, peer: SocketAddr) -> Result<Guest, Ended> {
    let stream: Stream = match &shared.config.tls {
        None => Box::new(stream),
        Some(config) => {
            let accepted = TlsAcceptor::from(Arc::clone(config)).accept(stream).await;
            Box::new(accepted.map_err(Ended::Connect)?)
        }
    };
    let (mut socket, identity) = upgrade(stream, peer, &*shared.authenticate).await?;
    let Some(FromActivator::Hello { versions, name }) = receive(socket.next().await)? else {
        return Err(Ended::Order("no hello"));
    };
    if name.len() > MAX_NAME {
        return Err(Ended::Order("a name that is too long"));
    }
    let Some(version) = agree(shared, &name, versions) else {
        let (ours, theirs) = (shared.config.versions, versions);
        let ended = Ended::Versions { ours, theirs };
        close(&mut socket, ended.to_string()).await;
        return Err(ended);
    };
    Ok(Guest {
        socket,
        name,
        identity,
        version,
    })
}

/// The newest version that both speak. That there is none is said once of each activator, which
/// dials again and again.
fn agree(shared: &Shared, name: &str, theirs: Versions) -> Option<u32> {
    let ours = shared.config.versions;
    let common = ours.common(theirs);
    if common.is_some() {
        shared.refusals.remove(name);
    } else if shared.refusals.add(name, theirs) {
        tracing::warn!(
            activator = name, %ours, %theirs,
            "an activator speaks no version of the protocol that is spoken here"
        );
    }
    common
}

type Received = Option<Result<Message, tokio_tungstenite::tungstenite::Error>>;

/// A message, or `None` for what only shows that the other side lives.
fn receive(received: Received) -> Result<Option<FromActivator>, Ended> {
    match received.ok_or_else(|| Ended::Closed("the stream ended".to_owned()))?? {
        Message::Binary(frame) => Ok(Some(codec::from_activator(&frame)?)),
        Message::Close(_) => Err(Ended::Closed("it said so".to_owned())),
        Message::Ping(_) | Message::Pong(_) => Ok(None),
        Message::Text(_) | Message::Frame(_) => Err(Ended::Order("text")),
    }
}

/// Says why, and goes. The activator may not listen any more.
async fn close(socket: &mut Socket, reason: String) {
    let frame = CloseFrame {
        code: CloseCode::Policy,
        reason: reason.into(),
    };
    drop(timeout(SILENCE, socket.close(Some(frame))).await);
}

async fn attend(shared: &Shared, guest: Guest) -> Ended {
    let Guest {
        mut socket,
        name,
        identity,
        version,
    } = guest;
    let mut seat = match shared.hub.join(name.clone(), identity).await {
        Ok(seat) => seat,
        Err(refused) => {
            close(&mut socket, refused.to_string()).await;
            return Ended::Closed(format!("{name}: {refused}"));
        }
    };
    tracing::info!(activator = name, version, "an activator is connected");
    let versions = shared.config.versions;
    let ended = match say(&mut socket, versions, codec::welcome(version)).await {
        Ok(()) => converse(socket, &mut seat, versions).await,
        Err(ended) => ended,
    };
    seat.leave().await;
    ended
}

async fn converse(socket: Socket, seat: &mut Seat, versions: Versions) -> Ended {
    let (sink, stream) = socket.split();
    let voice = seat.voice();
    tokio::select! {
        ended = read(stream, &voice) => ended,
        ended = write(sink, &mut seat.orders, versions) => ended,
    }
}

async fn read(mut stream: SplitStream<Socket>, voice: &Voice) -> Ended {
    let mut report = Report::default();
    let mut has_parted = false;
    loop {
        let Ok(received) = timeout(SILENCE, stream.next()).await else {
            return Ended::Silent;
        };
        let message = match receive(received) {
            Ok(Some(message)) => message,
            Ok(None) => continue,
            Err(Ended::Closed(_)) if has_parted => return Ended::Done,
            Err(ended) => return ended,
        };
        let said = match message {
            FromActivator::Hello { .. } => return Ended::Order("a second hello"),
            FromActivator::Report { stats, is_last } => match report.add(stats, is_last) {
                Ok(Some(stats)) => Said::Report(stats),
                Ok(None) => continue,
                Err(ended) => return ended,
            },
            FromActivator::Wake(wake) => Said::Wake(wake),
            FromActivator::Drained(answer) => Said::Drained(answer),
            FromActivator::Goodbye => {
                has_parted = true;
                Said::Goodbye
            }
            // A later version says more: nothing that this one needs.
            FromActivator::Unknown => continue,
        };
        if !voice.say(said).await {
            return Ended::Done;
        }
    }
}

/// A report of several frames, as far as it is here.
#[derive(Debug, Default)]
struct Report {
    stats: Vec<Stat>,
    parts: usize,
}

impl Report {
    fn add(&mut self, stats: Vec<Stat>, is_last: bool) -> Result<Option<Vec<Stat>>, Ended> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(Ended::Order("a report without end"));
        }
        self.stats.extend(stats);
        Ok(is_last.then(|| std::mem::take(self).stats))
    }
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    orders: &mut mpsc::Receiver<ToActivator>,
    versions: Versions,
) -> Ended {
    while let Some(order) = orders.recv().await {
        if let Err(ended) = say(&mut sink, versions, codec::order(&order)).await {
            return ended;
        }
    }
    // The hub gave this seat to another connection, or gave it up.
    drop(timeout(SILENCE, sink.close()).await);
    Ended::Closed("its place is taken, or it was too far behind".to_owned())
}
