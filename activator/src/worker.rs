//! One thread of the data plane, and what all of them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::connection;
use crate::house::House;
use crate::metrics::{Counts, Metrics};
use crate::route::RouteTable;
use crate::upstream::Upstream;

/// How often a worker closes idle connections to replicas.
const SWEEP: Duration = Duration::from_secs(1);

/// Pause after `accept` failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) routes: ArcSwap<RouteTable>,
    pub(crate) house: Arc<House>,
    pub(crate) metrics: Metrics,
    /// No new connections; those that are open end after their next answer.
    pub(crate) drain: CancellationToken,
    /// Set before `drain` is: asked by every request and every poll of a connection, where the
    /// token's own lock, shared by all workers, would be too much.
    is_draining: AtomicBool,
    /// The grace time is over: tunnels end.
    pub(crate) cut: CancellationToken,
    /// Refusals had a moment to leave: connections end.
    pub(crate) cut_late: CancellationToken,
    /// Connections and tunnels.
    pub(crate) tasks: TaskTracker,
    counts: Vec<Arc<Counts>>,
    connections: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(config: Config, house: Arc<House>) -> Self {
        let counts = (0..config.workers.get()).map(|_| Arc::default()).collect();
        Self {
            config,
            routes: ArcSwap::default(),
            house,
            metrics: Metrics::default(),
            drain: CancellationToken::new(),
            is_draining: AtomicBool::new(false),
            cut: CancellationToken::new(),
            cut_late: CancellationToken::new(),
            tasks: TaskTracker::new(),
            counts,
            connections: AtomicUsize::new(0),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    pub(crate) fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.drain.cancel();
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
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    /// Says that HTTPS is spoken here.
    pub(crate) tls: Option<TlsAcceptor>,
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
            upstream: Upstream::new(shared.config.limits.clone()),
            shared,
            counts,
        })
    }

    /// Accepts until the drain, then stays until every connection has ended.
    pub(crate) async fn run(self: Arc<Self>, doors: Vec<Door>) {
        for door in doors {
            tokio::spawn(Arc::clone(&self).accept(door));
        }
        let sweeper = tokio::spawn(Arc::clone(&self).sweep());
        self.shared.drain.cancelled().await;
        self.shared.tasks.wait().await;
        sweeper.abort();
    }

    async fn accept(self: Arc<Self>, door: Door) {
        loop {
            let accepted = tokio::select! {
                accepted = door.listener.accept() => accepted,
                () = self.shared.drain.cancelled() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    // Above the limit the connection is closed at once.
                    if let Some(open) = self.open() {
                        let tls = door.tls.clone();
                        let worker = Arc::clone(&self);
                        let serve = connection::serve(worker, stream, address, tls, open);
                        self.shared.tasks.spawn(serve);
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
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
