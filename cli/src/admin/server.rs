//! Accepts admin connections and serves them until told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::Token;
use super::listen::{AdminError, Connection, Listener};
use super::routes;
use crate::address::AdminAddress;
use crate::control::ControlPlane;

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long open connections may go on once the server was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What the admin API speaks for.
#[derive(Clone, Debug)]
pub(crate) struct AdminParts {
    /// The running node.
    pub(crate) control: Arc<dyn ControlPlane>,
    /// Every metric of this process.
    pub(crate) metrics: Arc<Registry>,
}

/// A bound admin API that does not answer yet.
#[derive(Debug)]
pub(crate) struct AdminServer {
    listener: Listener,
    address: AdminAddress,
    token: Option<Token>,
}

impl AdminServer {
    /// Binds the admin API.
    ///
    /// # Errors
    /// Without a token it binds to loopback or a Unix socket only.
    pub(crate) async fn bind(
        address: &AdminAddress,
        token: Option<Token>,
    ) -> Result<Self, AdminError> {
        let listener = Listener::bind(address, token.is_some()).await?;
        let bound = listener
            .address()
            .map_err(|e| AdminError::Bind(address.clone(), e))?;
        Ok(Self {
            listener,
            address: bound,
            token,
        })
    }

    /// Where it is reached.
    pub(crate) fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Serves until `stop`, then lets open requests end within two seconds.
    pub(crate) async fn run(self, parts: AdminParts, stop: CancellationToken) {
        let service = routes::router(parts, self.listener.guard(self.token), stop.clone());
        accept_all(self.listener, service, stop).await;
    }
}

/// Accepts and serves until `stop`.
pub(super) async fn accept_all(listener: Listener, service: axum::Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accept = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept => accepted,
        };
        match accepted {
            Ok(stream) => {
                let serving = serve(stream, service.clone(), stop.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(slot);
                });
            }
            Err(error) => pause(&error).await,
        }
    }
    connections.close();
    if tokio::time::timeout(STOP_GRACE, connections.wait())
        .await
        .is_err()
    {
        tracing::debug!(open = connections.len(), "admin connections were cut");
    }
}

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "admin connection was not accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn serve(stream: Box<dyn Connection>, service: axum::Router, stop: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "admin connection failed");
    }
}
