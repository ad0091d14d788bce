//! The autoscaler's side: takes statistics from whoever can reach it, as Knative's does.

mod connection;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use zeron_core::Ownership;

use super::forwarder::Forwarder;

/// How long connections may take to part when the server ends.
const PART_WITHIN: Duration = Duration::from_secs(5);

/// Settings of a [`StatServer`].
#[derive(Clone, Debug)]
pub struct StatServerConfig {
    /// Where to listen.
    pub address: SocketAddr,
    /// Connections at once. One more takes the place of the one that has been silent longest, if
    /// there is any that is silent, and is closed otherwise.
    pub max_connections: usize,
    /// From when on a connection without a statistic counts as silent.
    pub silent_after: Duration,
    /// How long a request's head may take.
    pub head_within: Duration,
}

impl StatServerConfig {
    /// With default limits. Knative's Service leads to port 8080.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            max_connections: 256,
            silent_after: Duration::from_secs(30),
            head_within: Duration::from_secs(5),
        }
    }
}

/// What every connection shares.
struct Shared {
    config: StatServerConfig,
    forwarder: Forwarder,
    ownership: watch::Receiver<Arc<Ownership>>,
}

/// A bound listener for statistics. The protocol knows no authentication: who may reach it is a
/// matter of the network.
pub struct StatServer {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for StatServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatServer")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl StatServer {
    /// Listens at the configured address. What is heard goes to `forwarder`; `ownership` says for
    /// which buckets' names this process answers.
    ///
    /// # Errors
    /// When that address cannot be bound.
    pub async fn bind(
        config: StatServerConfig,
        forwarder: Forwarder,
        ownership: watch::Receiver<Arc<Ownership>>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.address).await?;
        let shared = Arc::new(Shared {
            config,
            forwarder,
            ownership,
        });
        Ok(Self { listener, shared })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves; then asks everybody to connect elsewhere.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let mut connections = Connections::default();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        connections.admit(&self.shared, stream, peer);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection for statistics");
                        // Out of file descriptors, most likely: no busy loop.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = connections.tasks.join_next_with_id() => connections.end(ended),
            }
        }
        drop(self.listener);
        connections.seats.clear();
        let parted = async { while connections.tasks.join_next().await.is_some() {} };
        if timeout(PART_WITHIN, parted).await.is_err() {
            tracing::warn!("not every connection for statistics parted in time");
        }
    }
}

/// Everybody who is connected.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    seats: HashMap<Id, Seat>,
}

/// The place of one connection. Without it the connection is asked to part.
struct Seat {
    /// When its last statistic came, or it did.
    spoke: Arc<Mutex<Instant>>,
    _stay: oneshot::Sender<()>,
}

impl Connections {
    fn admit(&mut self, shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
        if !self.has_room(&shared.config) {
            tracing::warn!(%peer, "too many connections for statistics: one is closed");
            return;
        }
        let (stay, is_parting) = oneshot::channel();
        let spoke = Arc::new(Mutex::new(Instant::now()));
        let seat = Seat {
            spoke: Arc::clone(&spoke),
            _stay: stay,
        };
        let shared = Arc::clone(shared);
        let task = async move {
            connection::serve(&shared, stream, peer, &spoke, is_parting).await;
        };
        let task = self.tasks.spawn(task);
        self.seats.insert(task.id(), seat);
    }

    /// Makes room where somebody has been silent for long: who connects and says nothing must not
    /// keep those out who have something to say.
    fn has_room(&mut self, config: &StatServerConfig) -> bool {
        if self.seats.len() < config.max_connections {
            return true;
        }
        let spoke = |seat: &Seat| *seat.spoke.lock();
        let silent = self.seats.iter().min_by_key(|(_, seat)| spoke(seat));
        let silent = silent.filter(|(_, seat)| spoke(seat).elapsed() >= config.silent_after);
        let Some(id) = silent.map(|(id, _)| *id) else {
            return false;
        };
        tracing::warn!("too many connections for statistics: the most silent one makes room");
        self.seats.remove(&id);
        true
    }

    fn end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a connection for statistics panicked");
                error.id()
            }
        };
        self.seats.remove(&id);
    }
}
