//! Connections of those who ask: so many at once and no more, and only those that begin to speak HTTP/2.

mod peers;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, unfold};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::Connected;

use peers::{Peers, Seat};

/// Connections at once: a KEDA has one. Who comes later waits until one ends.
const MOST: usize = 1_024;
/// How long a TLS handshake and the preface after it may take.
const PREFACE_WITHIN: Duration = Duration::from_secs(10);
/// What a client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// After a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// One connection whose client speaks HTTP/2, and its place.
pub(super) struct Connection {
    stream: Box<dyn Duplex>,
    /// What of the preface the server has not read again.
    preface: &'static [u8],
    _place: Place,
}

/// What a connection holds until it ends.
struct Place {
    _room: OwnedSemaphorePermit,
    _seat: Seat,
}

/// Accepts for ever.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let room = Arc::new(Semaphore::new(MOST));
    let state = (listener, room, Peers::default(), FuturesUnordered::new());
    unfold(state, move |(listener, room, peers, mut begun)| {
        let tls = tls.clone();
        async move {
            loop {
                tokio::select! {
                    Some(entered) = begun.next() => {
                        if let Some(connection) = entered {
                            return Some((Ok(connection), (listener, room, peers, begun)));
                        }
                    }
                    (stream, peer, place) = next(&listener, &room) => {
                        if let Some(seat) = peers.sit(peer.ip()) {
                            let place = Place { _room: place, _seat: seat };
                            begun.push(enter(stream, peer, tls.clone(), place));
                        } else {
                            tracing::debug!(%peer, "too many connections of one peer");
                        }
                    }
                }
            }
        }
    })
}

async fn next(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(room).acquire_owned().await;
    let place = place.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            // A push is small and urgent.
            Ok((stream, peer)) if stream.set_nodelay(true).is_ok() => return (stream, peer, place),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A connection once its client has begun to speak; `None`, and it is closed, when it does not in time.
async fn enter(
    stream: impl Duplex + 'static,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    place: Place,
) -> Option<Connection> {
    match timeout(PREFACE_WITHIN, begin(stream, tls)).await {
        Ok(Ok(stream)) => Some(Connection {
            stream,
            preface: PREFACE,
            _place: place,
        }),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a connection that is of no use");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "a connection that said nothing in time");
            None
        }
    }
}

async fn begin(
    stream: impl Duplex + 'static,
    tls: Option<TlsAcceptor>,
) -> io::Result<Box<dyn Duplex>> {
    let mut stream: Box<dyn Duplex> = match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.accept(stream).await?),
    };
    let (mut preface, mut filled) = ([0; PREFACE.len()], 0);
    while filled < preface.len() {
        let read = stream.read(&mut preface[filled..]).await?;
        filled += read;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !PREFACE.starts_with(&preface[..filled]) {
            return Err(io::Error::other("not HTTP/2"));
        }
    }
    Ok(stream)
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.preface.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let (now, later) = self
            .preface
            .split_at(buffer.remaining().min(self.preface.len()));
        buffer.put_slice(now);
        self.preface = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        all: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
