//! Sits between the scaler and a broker, which it names itself: counts requests, and changes answers.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Numbers of requests.
pub(crate) const LIST_OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const OFFSET_FETCH: i16 = 9;
pub(crate) const FIND_COORDINATOR: i16 = 10;
pub(crate) const API_VERSIONS: i16 = 18;
pub(crate) const SASL_AUTHENTICATE: i16 = 36;

/// How the proxy changes answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Newest versions that the broker admits to.
    pub(crate) caps: Vec<(i16, i16)>,
    /// The host that brokers are said to have, as long as `127.0.0.1`.
    pub(crate) host: Option<&'static str>,
    /// Error codes for the last group of the next answers to OffsetFetch, from version 8 on.
    pub(crate) group_errors: Vec<i16>,
    /// Error codes for the first partition of the next answers to ListOffsets, from version 6 on.
    pub(crate) leader_errors: Vec<i16>,
    /// What is said instead of the body of every answer from the second of a connection on.
    pub(crate) nonsense: Option<Vec<u8>>,
}

/// A proxy of one broker. Its threads end with their connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: SocketAddr,
    address: SocketAddr,
    changes: Mutex<Changes>,
    /// By number and version.
    requests: Mutex<BTreeMap<(i16, i16), usize>>,
    connections: AtomicUsize,
    /// Those that did not end yet.
    open: AtomicUsize,
    clients: Mutex<Vec<TcpStream>>,
}

/// The number and version of the request that an answer belongs to.
type Asked = Arc<Mutex<HashMap<[u8; 4], (i16, i16)>>>;

impl Proxy {
    pub(crate) fn start(broker: SocketAddr, changes: Changes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            broker,
            address,
            changes: Mutex::new(changes),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            clients: Mutex::default(),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                accepting.clone().serve(client).ok();
            }
        });
        Self { address, shared }
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections that stand.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Requests since the last call, by number and version.
    pub(crate) fn take(&self) -> BTreeMap<(i16, i16), usize> {
        std::mem::take(&mut *self.shared.requests.lock().unwrap())
    }

    /// Closes all connections, as a broker does with those that lay idle.
    pub(crate) fn close_all(&self) {
        for client in self.shared.clients.lock().unwrap().drain(..) {
            client.shutdown(std::net::Shutdown::Both).ok();
        }
    }

    /// Error codes for the next answers to ListOffsets, the last first.
    pub(crate) fn fail_leaders(&self, codes: &[i16]) {
        self.shared.changes.lock().unwrap().leader_errors = codes.to_vec();
    }

    /// Error codes for the next answers to OffsetFetch, the last first.
    pub(crate) fn fail_groups(&self, codes: &[i16]) {
        self.shared.changes.lock().unwrap().group_errors = codes.to_vec();
    }
}

/// Requests of one kind among those that were counted.
pub(crate) fn of(requests: &BTreeMap<(i16, i16), usize>, kind: i16) -> usize {
    let of_kind = requests.iter().filter(|((number, _), _)| *number == kind);
    of_kind.map(|(_, count)| count).sum()
}

impl Shared {
    fn serve(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        let broker = TcpStream::connect(self.broker)?;
        self.clients.lock().unwrap().push(client.try_clone()?);
        self.open.fetch_add(1, Ordering::Relaxed);
        let asked = Asked::default();
        let (from, to) = (client.try_clone()?, broker.try_clone()?);
        let (shared, numbers) = (self.clone(), asked.clone());
        thread::spawn(move || {
            shared.requests(from, &to, &numbers).ok();
            to.shutdown(std::net::Shutdown::Both).ok();
        });
        thread::spawn(move || {
            self.answers(broker, &client, &asked).ok();
            client.shutdown(std::net::Shutdown::Both).ok();
            self.open.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(())
    }

    fn requests(&self, mut from: TcpStream, mut to: &TcpStream, asked: &Asked) -> io::Result<()> {
        loop {
            let frame = frame(&mut from)?;
            let kind = (number(&frame[0..]), number(&frame[2..]));
            *self.requests.lock().unwrap().entry(kind).or_default() += 1;
            let id = frame[4..8].try_into().unwrap();
            asked.lock().unwrap().insert(id, kind);
            send(&mut to, &frame)?;
        }
    }

    fn answers(&self, mut from: TcpStream, mut to: &TcpStream, asked: &Asked) -> io::Result<()> {
        let mut is_first = true;
        loop {
            let mut frame = frame(&mut from)?;
            let id: [u8; 4] = frame[0..4].try_into().unwrap();
            let kind = asked.lock().unwrap().remove(&id).unwrap();
            self.change(kind, &mut frame, is_first);
            is_first = false;
            send(&mut to, &frame)?;
        }
    }

    fn change(&self, (kind, version): (i16, i16), frame: &mut Vec<u8>, is_first: bool) {
        let mut changes = self.changes.lock().unwrap();
        if kind == API_VERSIONS {
            // Number, error, count; then kind, least and newest version.
            for entry in frame[10..].chunks_exact_mut(6) {
                let cap = changes.caps.iter().find(|(of, _)| *of == number(entry));
                if let Some((_, cap)) = cap {
                    let newest = number(&entry[4..]).min(*cap);
                    entry[4..].copy_from_slice(&newest.to_be_bytes());
                }
            }
        }
        if kind == OFFSET_FETCH
            && version >= 8
            && let Some(code) = changes.group_errors.pop()
        {
            // The last group's error is followed by two bytes for no tags.
            let at = frame.len() - 4;
            frame[at..at + 2].copy_from_slice(&code.to_be_bytes());
        }
        if kind == LIST_OFFSETS
            && version >= 6
            && let Some(code) = changes.leader_errors.pop()
        {
            // Number, no tags, throttling, one topic, its name, partitions: the first one's number and error.
            let name = usize::from(frame[10]) - 1;
            let at = 4 + 1 + 4 + 1 + 1 + name + 1 + 4;
            frame[at..at + 2].copy_from_slice(&code.to_be_bytes());
        }
        let host = changes.host.unwrap_or("127.0.0.1");
        let real = [b"127.0.0.1".as_slice(), &port(self.broker)].concat();
        let shown = [host.as_bytes(), &port(self.address)].concat();
        replace(frame, &real, &shown);
        if let Some(nonsense) = changes.nonsense.as_ref().filter(|_| !is_first) {
            frame.truncate(4);
            frame.extend(nonsense);
        }
    }
}

fn number(bytes: &[u8]) -> i16 {
    i16::from_be_bytes([bytes[0], bytes[1]])
}

/// A port as the protocol writes it.
fn port(address: SocketAddr) -> [u8; 4] {
    i32::from(address.port()).to_be_bytes()
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    for at in 0..bytes.len().saturating_sub(from.len() - 1) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
}

fn frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

fn send(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
    to.write_all(&[&length, frame].concat())
}
