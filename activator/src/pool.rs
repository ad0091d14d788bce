//! One worker's open connections to replicas.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::body::RequestBody;

/// Idle connections kept per replica and worker.
const MAX_IDLE: usize = 256;

/// Streams at once on one HTTP/2 connection: what the common servers allow at least.
const MAX_STREAMS: usize = 100;

/// Idle HTTP/1 connections and shared HTTP/2 connections, by replica.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    replicas: Mutex<Replicas>,
}

#[derive(Debug, Default)]
struct Replicas {
    http1: HashMap<u64, Vec<Idle>, ByKey>,
    http2: HashMap<u64, Vec<Shared>, ByKey>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    streams: Arc<AtomicUsize>,
}

/// A connection that a request may use.
#[derive(Debug)]
pub(crate) enum Connection {
    Http1 {
        sender: http1::SendRequest<RequestBody>,
        /// How long it was idle; `None` for a new one.
        idle: Option<Duration>,
    },
    Http2 {
        sender: http2::SendRequest<RequestBody>,
        stream: Stream,
        is_new: bool,
    },
}

impl Connection {
    /// Nothing was ever sent over it.
    pub(crate) fn is_new(&self) -> bool {
        match self {
            Self::Http1 { idle, .. } => idle.is_none(),
            Self::Http2 { is_new, .. } => *is_new,
        }
    }
}

/// One stream of a shared connection.
#[derive(Debug)]
pub(crate) struct Stream(Arc<AtomicUsize>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What an answer gives back once it is complete.
#[derive(Debug)]
pub(crate) enum Lease {
    Http1 {
        pool: Arc<Pool>,
        key: u64,
        sender: http1::SendRequest<RequestBody>,
    },
    Http2 {
        _stream: Stream,
    },
}

impl Lease {
    /// The answer is complete: the connection may be used again.
    pub(crate) fn give_back(self) {
        if let Self::Http1 { pool, key, sender } = self
            && !sender.is_closed()
        {
            pool.put(key, sender);
        }
    }
}

impl Pool {
    /// An idle connection that is still open and was idle for at most `max_idle`.
    pub(crate) fn http1(&self, key: u64, max_idle: Duration) -> Option<Connection> {
        let mut replicas = self.replicas.lock();
        let idle = replicas.http1.get_mut(&key)?;
        // The newest first: the others may time out.
        while let Some(newest) = idle.last() {
            let is_open = newest.sender.is_ready();
            let age = newest.since.elapsed();
            if age > max_idle {
                return None;
            }
            let newest = idle.pop()?;
            if is_open {
                return Some(Connection::Http1 {
                    sender: newest.sender,
                    idle: Some(age),
                });
            }
        }
        None
    }

    /// A shared connection with a free stream.
    pub(crate) fn http2(&self, key: u64) -> Option<Connection> {
        let mut replicas = self.replicas.lock();
        let shared = replicas.http2.get_mut(&key)?;
        shared.retain(|shared| !shared.sender.is_closed());
        let free = shared
            .iter()
            .find(|shared| shared.streams.load(Ordering::Relaxed) < MAX_STREAMS)?;
        Some(free.stream(false))
    }

    /// Shares a new HTTP/2 connection.
    pub(crate) fn share(&self, key: u64, sender: http2::SendRequest<RequestBody>) -> Connection {
        let shared = Shared {
            sender,
            streams: Arc::default(),
        };
        let connection = shared.stream(true);
        self.replicas
            .lock()
            .http2
            .entry(key)
            .or_default()
            .push(shared);
        connection
    }

    fn put(&self, key: u64, sender: http1::SendRequest<RequestBody>) {
        let mut replicas = self.replicas.lock();
        let idle = replicas.http1.entry(key).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    /// Closes what was idle for too long. Called now and then.
    pub(crate) fn sweep(&self, max_idle: Duration) {
        let now = Instant::now();
        let mut replicas = self.replicas.lock();
        replicas.http1.retain(|_, idle| {
            idle.retain(|idle| {
                now.duration_since(idle.since) <= max_idle && !idle.sender.is_closed()
            });
            !idle.is_empty()
        });
        replicas.http2.retain(|_, shared| {
            shared.retain(|shared| !shared.sender.is_closed());
            !shared.is_empty()
        });
    }
}

impl Shared {
    fn stream(&self, is_new: bool) -> Connection {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Connection::Http2 {
            sender: self.sender.clone(),
            stream: Stream(Arc::clone(&self.streams)),
            is_new,
        }
    }
}

type ByKey = BuildHasherDefault<KeyHasher>;

/// Keys are counted up: one multiplication spreads them.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
