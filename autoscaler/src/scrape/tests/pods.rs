//! Replicas as small servers, each on a loopback address of its own and all on one port.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message;
use zeron_wire::knative::proto::Stat;

/// What a replica answers.
#[derive(Clone)]
pub(super) enum Says {
    Stat(Stat),
    /// And closes the connection.
    Once(Stat),
    Status(&'static str),
    Text(&'static str),
    Bytes(Vec<u8>),
    Nothing,
}

type Script = Arc<dyn Fn(usize) -> Says + Send + Sync>;

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    asked: Vec<AtomicUsize>,
}

/// Servers on threads that end with the test.
pub(super) struct Pods {
    addresses: Vec<SocketAddr>,
    counts: Arc<Counts>,
}

impl Pods {
    pub(super) fn start(
        count: usize,
        says: impl Fn(usize) -> Says + Send + Sync + 'static,
    ) -> Self {
        let says: Script = Arc::new(says);
        let counts = Arc::new(Counts {
            asked: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            ..Counts::default()
        });
        let listeners = bind(count);
        let addresses = listeners.iter().map(|it| it.local_addr().unwrap());
        let addresses = addresses.collect();
        for (pod, listener) in listeners.into_iter().enumerate() {
            let (says, counts) = (Arc::clone(&says), Arc::clone(&counts));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (says, counts) = (Arc::clone(&says), Arc::clone(&counts));
                    counts.connections.fetch_add(1, Ordering::Relaxed);
                    std::thread::spawn(move || serve(pod, stream.unwrap(), &says, &counts));
                }
            });
        }
        Self { addresses, counts }
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    pub(super) fn port(&self) -> u16 {
        self.addresses[0].port()
    }

    pub(super) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    pub(super) fn asked(&self) -> usize {
        let counts = self.counts.asked.iter();
        counts.map(|it| it.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn asked_of(&self, pod: usize) -> usize {
        self.counts.asked[pod].load(Ordering::Relaxed)
    }
}

/// As many addresses with the same free port.
fn bind(count: usize) -> Vec<TcpListener> {
    let address = |pod: usize| {
        let last = u8::try_from(pod + 1).unwrap();
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
    };
    loop {
        let first = TcpListener::bind((address(0), 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let others = (1..count).map(|pod| TcpListener::bind((address(pod), port)));
        let all: Result<Vec<_>, _> = std::iter::once(Ok(first)).chain(others).collect();
        if let Ok(all) = all {
            return all;
        }
    }
}

fn serve(pod: usize, mut stream: TcpStream, says: &Script, counts: &Counts) {
    let mut buffer = [0; 4_096];
    let mut read = 0;
    while let Ok(more @ 1..) = stream.read(&mut buffer[read..]) {
        read += more;
        if !buffer[..read].ends_with(b"\r\n\r\n") {
            continue;
        }
        let request = std::str::from_utf8(&buffer[..read]).unwrap();
        assert!(
            request.starts_with("GET /metrics HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("accept: application/protobuf\r\n"),
            "{request}"
        );
        read = 0;
        counts.asked[pod].fetch_add(1, Ordering::Relaxed);
        let (status, format, body, is_last) = match says(pod) {
            Says::Stat(stat) => (
                "200 OK",
                "application/protobuf",
                stat.encode_to_vec(),
                false,
            ),
            Says::Once(stat) => ("200 OK", "application/protobuf", stat.encode_to_vec(), true),
            Says::Status(status) => (status, "text/plain", Vec::new(), false),
            Says::Text(format) => ("200 OK", format, b"hello".to_vec(), false),
            Says::Bytes(bytes) => ("200 OK", "application/protobuf", bytes, false),
            Says::Nothing => continue,
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {format}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream
            .write_all(&[head.into_bytes(), body].concat())
            .is_err()
            || is_last
        {
            return;
        }
    }
}
