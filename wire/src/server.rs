//! The autoscaler's side: lets activators in that may come in, and takes them to the hub.

mod connection;
pub(crate) mod handshake;
mod refusals;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use zeron_core::roles::BoxFuture;

use crate::hub::Hub;
use crate::version::Versions;
use refusals::Refusals;

/// Decides who may come in.
pub trait Authenticate: Send + Sync {
    /// Whose bearer token this is; `None`: there was none. The handshake bounds the time.
    fn check<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Identity, Refused>>;
}

/// Who an activator is, by its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account, such as `system:serviceaccount:zeron-system:zeron-activator`.
    pub subject: String,
    /// The name that the credentials are bound to (a pod's name); `None`: any name of the account.
    pub name: Option<String>,
    /// What tells namesakes apart (a pod's UID).
    pub uid: Option<String>,
}

/// Why somebody may not come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No token, or one that is not good: 401.
    #[error("not authenticated: {0}")]
    Unauthenticated(String),
    /// A good token of somebody who has no business here: 403.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// It cannot be found out now: 503, and the activator tries again.
    #[error("cannot tell: {0}")]
    Unavailable(String),
}

/// Settings of a [`Server`].
#[derive(Clone)]
pub struct ServerConfig {
    /// Where to listen.
    pub address: SocketAddr,
    /// Connections at once, those that are not authenticated yet included; more are closed.
    pub max_connections: usize,
    /// How long it may take from the connection to the activator's first frame.
    pub handshake_within: Duration,
    /// TLS; `None`: plain TCP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What is spoken: [`Versions::OURS`].
    pub versions: Versions,
}

impl ServerConfig {
    /// Plain TCP with default limits.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            max_connections: 1_024,
            handshake_within: Duration::from_secs(5),
            tls: None,
            versions: Versions::OURS,
        }
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("address", &self.address)
            .field("max_connections", &self.max_connections)
            .field("is_tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// What every connection shares.
struct Shared {
    config: ServerConfig,
    authenticate: Arc<dyn Authenticate>,
    hub: Hub,
    refusals: Refusals,
}

/// A bound listener for activators.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens at the configured address.
    ///
    /// # Errors
    /// When that address cannot be bound.
    pub async fn bind(
        config: ServerConfig,
        authenticate: Arc<dyn Authenticate>,
        hub: Hub,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.address).await?;
        let shared = Arc::new(Shared {
            config,
            authenticate,
            hub,
            refusals: Refusals::default(),
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

    /// Serves until `stop` resolves, then closes every connection.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let places = Arc::new(Semaphore::new(self.shared.config.max_connections));
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer, &places, &mut connections),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept an activator's connection");
                        // Out of file descriptors, most likely: no busy loop.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection of an activator panicked");
                    }
                }
            }
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        places: &Arc<Semaphore>,
        connections: &mut JoinSet<()>,
    ) {
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            tracing::warn!(%peer, "too many connections: one is closed");
            return;
        };
        let shared = Arc::clone(&self.shared);
        connections.spawn(async move {
            let _place = place;
            connection::serve(&shared, stream, peer).await;
        });
    }
}
