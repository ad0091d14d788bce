//! Between zeron and a broker: counts requests and connections. Answers that name the broker name the proxy.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use parking_lot::Mutex;

use crate::subject::loopback;

/// Larger frames are not of this measure.
const MAX_FRAME: usize = 64 << 20;

/// Requests by the protocol's number of their kind.
pub(super) type Counts = BTreeMap<i16, u64>;

/// A proxy of one broker; its threads end with their connections.
#[derive(Debug)]
pub(super) struct Proxy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: SocketAddr,
    address: SocketAddr,
    requests: Mutex<Counts>,
    open: AtomicUsize,
}

impl Proxy {
    /// Listens for clients of `broker`, on its own address.
    pub(super) fn start(broker: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(match broker.ip().is_loopback() {
            true => SocketAddr::new(broker.ip(), 0),
            false => loopback(0),
        })?;
        let shared = Arc::new(Shared {
            broker,
            address: listener.local_addr()?,
            requests: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        thread::Builder::new()
            .name("kafka-proxy".to_owned())
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    // One that cannot be served is closed.
                    accepting.clone().serve(client).ok();
                }
            })?;
        Ok(Self { shared })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Requests since the last call.
    pub(super) fn take(&self) -> Counts {
        std::mem::take(&mut *self.shared.requests.lock())
    }

    /// Connections that are open.
    pub(super) fn connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn serve(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        let broker = TcpStream::connect(self.broker)?;
        for stream in [&client, &broker] {
            stream.set_nodelay(true)?;
        }
        let (from, to) = (client.try_clone()?, broker.try_clone()?);
        let shared = self.clone();
        self.open.fetch_add(1, Ordering::Relaxed);
        thread::spawn(move || {
            shared.requests(from, &to).ok();
            shared.open.fetch_sub(1, Ordering::Relaxed);
            to.shutdown(Shutdown::Both).ok();
        });
        thread::spawn(move || {
            self.answers(broker, &client).ok();
            client.shutdown(Shutdown::Both).ok();
        });
        Ok(())
    }

    fn requests(&self, mut from: TcpStream, to: &TcpStream) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut from)?;
            if let [first, second, ..] = frame[..] {
                let kind = i16::from_be_bytes([first, second]);
                *self.requests.lock().entry(kind).or_default() += 1;
            }
            write_frame(to, &frame)?;
        }
    }

    fn answers(&self, mut from: TcpStream, to: &TcpStream) -> io::Result<()> {
        let (real, shown) = (named(self.broker), named(self.address));
        loop {
            let mut frame = read_frame(&mut from)?;
            let last = frame.len().saturating_sub(real.len());
            for at in 0..=last {
                if frame[at..].starts_with(&real) && real.len() == shown.len() {
                    frame[at..at + shown.len()].copy_from_slice(&shown);
                }
            }
            write_frame(to, &frame)?;
        }
    }
}

/// Host and port as answers hold them.
fn named(address: SocketAddr) -> Vec<u8> {
    let port = i32::from(address.port()).to_be_bytes();
    [address.ip().to_string().as_bytes(), &port].concat()
}

pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

pub(super) fn write_frame(mut to: impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_be_bytes(), frame].concat())
}
