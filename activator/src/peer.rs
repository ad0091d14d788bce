//! Who is on the other end of a connection, and what it may say about those behind it.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderValue;
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::io::Socket;

/// Which of our listeners a connection came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// One that all routes share.
    Shared,
    /// A port that some routes have for themselves.
    Port(NonZeroU16),
    /// The one for other activators.
    Activators,
}

impl Entrance {
    /// The port whose routes alone are asked.
    pub(crate) fn port(self) -> Option<NonZeroU16> {
        match self {
            Self::Port(port) => Some(port),
            Self::Shared | Self::Activators => None,
        }
    }
}

/// The client of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) entrance: Entrance,
    /// Its forwarded headers are believed.
    pub(crate) is_trusted: bool,
    pub(crate) is_tls: bool,
    /// `X-Forwarded-For` of every request of this connection.
    pub(crate) forwarded_for: HeaderValue,
    /// `Forwarded` for the host asked for last: most connections ask for one host only.
    forwarded: Mutex<Option<(HeaderValue, HeaderValue)>>,
    socket: Option<Socket>,
    /// Requests that are being served.
    busy: AtomicU32,
}

/// One request of a connection, until the last byte of its answer is handed over.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Peer>);

impl Busy {
    pub(crate) fn new(peer: Arc<Peer>) -> Self {
        peer.busy.fetch_add(1, Ordering::Relaxed);
        Self(peer)
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Peer {
    pub(crate) fn new(
        address: SocketAddr,
        entrance: Entrance,
        is_trusted: bool,
        is_tls: bool,
        socket: Option<Socket>,
    ) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            address,
            entrance,
            is_trusted,
            is_tls,
            forwarded_for: ascii(&address.ip().to_string()),
            forwarded: Mutex::new(None),
            socket,
            busy: AtomicU32::new(0),
        }
    }

    /// Whether a request of this connection is being served.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Whether the client is known to have gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::is_closed)
    }

    /// The scheme it used.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// The element of `Forwarded` (RFC 7239) that describes this hop.
    pub(crate) fn forwarded(&self, host: &HeaderValue) -> HeaderValue {
        let mut last = self.forwarded.lock();
        if let Some((asked, forwarded)) = &*last
            && asked == host
        {
            return forwarded.clone();
        }
        let forwarded = self.format_forwarded(host);
        *last = Some((host.clone(), forwarded.clone()));
        forwarded
    }

    fn format_forwarded(&self, host: &HeaderValue) -> HeaderValue {
        let mut text = String::with_capacity(64);
        // Writing to a string cannot fail.
        match self.address.ip() {
            IpAddr::V4(ip) => write!(text, "for={ip}"),
            IpAddr::V6(ip) => write!(text, "for=\"[{ip}]\""),
        }
        .ok();
        if let Ok(host) = host.to_str()
            && !host.is_empty()
        {
            write!(text, ";host=\"{host}\"").ok();
        }
        write!(text, ";proto={}", self.scheme()).ok();
        ascii(&text)
    }
}

/// Whether `ip` is one of `networks`.
pub(crate) fn is_trusted(ip: IpAddr, networks: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    networks.iter().any(|network| network.contains(&ip))
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}
