//! One thread of the data plane, and what all of them share.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Dialect};
use crate::house::House;
use crate::knative::request_log::RequestLog;
use crate::metrics::{Counts, Metrics};
use crate::peer::Entrance;
use crate::ports::Opened;
use crate::queue_tls::QueueTls;
use crate::registry::Registry;
use crate::route::RouteTable;
use crate::upstream::Upstream;
use crate::{connection, listen};

/// How often a worker closes idle connections to replicas.
const SWEEP: Duration = Duration::from_secs(1);

/// Pause after `accept` failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How long a client that connected just before the end may take to ask.
const FIRST_WORDS: Duration = Duration::from_millis(100);

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) routes: ArcSwap<RouteTable>,
    request_log: ArcSwapOption<RequestLog>,
    /// How queue-proxies are spoken to, where it is over TLS.
    pub(crate) queue_tls: Option<QueueTls>,
    pub(crate) house: Arc<House>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
    /// Told at every report of load.
    pub(crate) reported: Notify,
    /// The end has begun: connections are told to end, new ones are still served.
    pub(crate) lame: CancellationToken,
    /// Set before `lame` is: asked by every request and every poll of a connection, where the
    /// token's own lock, shared by all workers, would be too much.
    is_draining: AtomicBool,
    /// Cancelled once everything is known that requests need.
    ready: CancellationToken,
    /// No new connections of clients; those that are open end after their next answer.
    pub(crate) drain: CancellationToken,
    /// The same for connections of other activators, which come last.
    pub(crate) drain_activators: CancellationToken,
    /// The grace time is over: tunnels end.
    pub(crate) cut: CancellationToken,
    /// Refusals had a moment to leave: connections end.
    pub(crate) cut_late: CancellationToken,
    /// Connections of clients, and tunnels.
    pub(crate) tasks: TaskTracker,
    /// Connections of other activators.
    pub(crate) activators: TaskTracker,
    counts: Vec<Arc<Counts>>,
    connections: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(config: Config, registry: Arc<Registry>) -> Self {
        let queue_tls = match &config.dialect {
            Dialect::Knative(knative) if knative.has_internal_tls => Some(QueueTls::default()),
            Dialect::Knative(_) | Dialect::Zeron => None,
        };
        let counts = (0..config.workers.get()).map(|_| Arc::default()).collect();
        Self {
            config,
            routes: ArcSwap::default(),
            request_log: ArcSwapOption::empty(),
            queue_tls,
            house: Arc::clone(registry.house()),
            registry,
            metrics: Metrics::default(),
            reported: Notify::new(),
            lame: CancellationToken::new(),
            is_draining: AtomicBool::new(false),
            ready: CancellationToken::new(),
            drain: CancellationToken::new(),
            drain_activators: CancellationToken::new(),
            cut: CancellationToken::new(),
            cut_late: CancellationToken::new(),
            tasks: TaskTracker::new(),
            activators: TaskTracker::new(),
            counts,
            connections: AtomicUsize::new(0),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// How requests are logged, in Knative's way.
    pub(crate) fn request_log(&self) -> Option<Arc<RequestLog>> {
        match self.config.dialect {
            Dialect::Zeron => None,
            Dialect::Knative(_) => self.request_log.load_full(),
        }
    }

    pub(crate) fn set_request_log(&self, log: Option<RequestLog>) {
        self.request_log.store(log.map(Arc::new));
    }

    pub(crate) fn say_ready(&self) {
        self.ready.cancel();
    }

    /// Whether new requests should come here, and why not, in Knative's words where it has any.
    pub(crate) fn health(&self) -> Result<(), &'static str> {
        if self.is_draining() {
            return Err("received SIGTERM from kubelet");
        }
        let is_ready = self.ready.is_cancelled();
        is_ready.then_some(()).ok_or("not ready yet")
    }

    /// Readiness goes; connections are told to end as they are used.
    pub(crate) fn begin_end(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.lame.cancel();
    }

    /// What ends the listeners and the idle connections of `entrance`.
    pub(crate) fn end(&self, entrance: Entrance) -> &CancellationToken {
        match entrance {
            Entrance::Activators => &self.drain_activators,
            Entrance::Shared | Entrance::Port(_) => &self.drain,
        }
    }

    /// The end, and a moment for the first words of whoever connected just before it.
    pub(crate) async fn last_call(&self, entrance: Entrance) {
        self.end(entrance).cancelled().await;
        tokio::time::sleep(FIRST_WORDS).await;
    }

    pub(crate) fn tasks(&self, entrance: Entrance) -> &TaskTracker {
        match entrance {
            Entrance::Activators => &self.activators,
            Entrance::Shared | Entrance::Port(_) => &self.tasks,
        }
    }

    pub(crate) fn counts(&self) -> &[Arc<Counts>] {
        &self.counts
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One thread's part.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upstream: Upstream,
    pub(crate) counts: Arc<Counts>,
}

/// A listener of one worker.
pub(crate) struct Door<L> {
    pub(crate) listener: L,
    pub(crate) entrance: Entrance,
    /// Says that HTTPS is spoken here.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Closes it.
    pub(crate) close: CancellationToken,
    /// Goes once it is closed.
    pub(crate) open: Option<Opened>,
}

impl Door<std::net::TcpListener> {
    /// Within the runtime that is to serve it.
    pub(crate) fn watched(self) -> io::Result<Door<TcpListener>> {
        Ok(Door {
            listener: TcpListener::from_std(self.listener)?,
            entrance: self.entrance,
            tls: self.tls,
            close: self.close,
            open: self.open,
        })
    }
}

/// Counts one connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, place: usize) -> Arc<Self> {
        let counts = Arc::clone(&shared.counts[place]);
        Arc::new(Self {
            upstream: Upstream::new(shared.config.limits.clone(), shared.queue_tls.clone()),
            shared,
            counts,
        })
    }

    /// Stays until every connection has ended.
    pub(crate) async fn run(self: Arc<Self>, doors: Vec<Door<TcpListener>>) {
        for door in doors {
            tokio::spawn(Arc::clone(&self).accept(door));
        }
        let sweeper = tokio::spawn(Arc::clone(&self).sweep());
        self.shared.drain_activators.cancelled().await;
        self.shared.tasks.wait().await;
        self.shared.activators.wait().await;
        sweeper.abort();
    }

    /// Accepts until the door closes, and then whoever knocked before.
    pub(crate) async fn accept(self: Arc<Self>, door: Door<TcpListener>) {
        if self.shared.config.holds_until_ready {
            tokio::select! {
                () = self.shared.ready.cancelled() => {}
                () = door.close.cancelled() => {}
            }
        }
        loop {
            let accepted = tokio::select! {
                accepted = door.listener.accept() => accepted,
                () = door.close.cancelled() => break,
            };
            match accepted {
                Ok((stream, address)) => self.welcome(&door, stream, address),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        for _ in 0..listen::BACKLOG {
            let Some(Ok((stream, address))) = door.listener.accept().now_or_never() else {
                break;
            };
            self.welcome(&door, stream, address);
        }
        drop(door.listener);
        drop(door.open);
    }

    fn welcome(self: &Arc<Self>, door: &Door<TcpListener>, stream: TcpStream, from: SocketAddr) {
        // Above the limit the connection is closed at once.
        if let Some(open) = self.open() {
            let (worker, tls) = (Arc::clone(self), door.tls.clone());
            let serve = connection::serve(worker, stream, from, door.entrance, tls, open);
            self.shared.tasks(door.entrance).spawn(serve);
        }
    }

    pub(crate) fn open(&self) -> Option<Open> {
        let before = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let open = Open(Arc::clone(&self.shared));
        (before < self.shared.config.limits.max_connections).then_some(open)
    }

    async fn sweep(self: Arc<Self>) {
        let mut tick = tokio::time::interval(SWEEP);
        loop {
            tick.tick().await;
            let max_idle = self.shared.config.limits.pool_idle_timeout;
            self.upstream.pool().sweep(max_idle);
        }
    }
}
