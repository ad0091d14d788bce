//! The autoscaler's side: takes statistics from whoever can reach it, as Knative's does.

mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use zeron_core::Ownership;

use super::forwarder::Forwarder;

/// How long connections may take to part when the server ends.
const PART_WITHIN: Duration = Duration::from_secs(5);

/// Settings of a [`StatServer`].
#[derive(Clone, Debug)]
pub struct StatServerConfig {
    /// Where to listen.
    pub address: SocketAddr,
    /// Connections at once; more are closed.
    pub max_connections: usize,
    /// How long a request's head may take.
    pub head_within: Duration,
}

impl StatServerConfig {
    /// With default limits. Knative's Service leads to port 8080.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            max_connections: 256,
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
        let places = Arc::new(Semaphore::new(self.shared.config.max_connections));
        let (stopping, is_stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        self.admit(stream, peer, &places, &is_stopping, &mut connections);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection for statistics");
                        // Out of file descriptors, most likely: no busy loop.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection for statistics panicked");
                    }
                }
            }
        }
        drop(self.listener);
        stopping.send_replace(true);
        let parted = async { while connections.join_next().await.is_some() {} };
        if timeout(PART_WITHIN, parted).await.is_err() {
            tracing::warn!("not every connection for statistics parted in time");
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        places: &Arc<Semaphore>,
        is_stopping: &watch::Receiver<bool>,
        connections: &mut JoinSet<()>,
    ) {
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            tracing::warn!(%peer, "too many connections for statistics: one is closed");
            return;
        };
        let (shared, is_stopping) = (Arc::clone(&self.shared), is_stopping.clone());
        connections.spawn(async move {
            let _place = place;
            connection::serve(&shared, stream, peer, is_stopping).await;
        });
    }
}
