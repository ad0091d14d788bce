//! `/healthz`, `/readyz` and `/metrics` of a process in a cluster: open to probes and Prometheus.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::listen::{AdminError, Listener};
use super::metrics::exposition;
use super::problem::ApiProblem;
use super::server::accept_all;
use crate::control::Readiness;

/// Whether a process can do its work now.
pub(crate) trait Health: Send + Sync + fmt::Debug + 'static {
    /// Ready, or why not.
    fn readiness(&self) -> Readiness;
}

#[derive(Clone, Debug)]
struct Parts {
    health: Arc<dyn Health>,
    metrics: Arc<Registry>,
}

/// A bound address for probes that does not answer yet.
#[derive(Debug)]
pub(crate) struct HealthServer(Listener);

impl HealthServer {
    /// Binds `address`.
    ///
    /// # Errors
    /// When it is taken, or not ours.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        Listener::open(address).await.map(Self)
    }

    /// Answers until `stop`.
    pub(crate) async fn run(
        self,
        health: Arc<dyn Health>,
        metrics: Arc<Registry>,
        stop: CancellationToken,
    ) {
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route(
                "/metrics",
                get(|State(parts): State<Parts>| async move { exposition(&parts.metrics) }),
            )
            .fallback(|| async { ApiProblem::new(StatusCode::NOT_FOUND, "no such path") })
            .with_state(Parts { health, metrics });
        accept_all(self.0, router, stop).await;
    }
}

async fn readyz(State(parts): State<Parts>) -> (StatusCode, Json<Readiness>) {
    let readiness = parts.health.readiness();
    let status = match readiness.is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness))
}
