//! An external scaler of KEDA's: what our data plane counts, for a KEDA that writes the replicas.
//!
//! `ask` reads what a ScaledObject wants and works the answer out, `told` says when a stream speaks,
//! `service` is the protocol, and this file listens. Any autoscaler answers for any function: all of
//! them hear every activator.

pub(crate) mod args;
mod ask;
mod incoming;
mod service;
#[cfg(test)]
mod tests;
mod tls;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use zeron_autoscaler::EngineHandle;
use zeron_core::FunctionId;
use zeron_external_scaler_proto::FILE_DESCRIPTOR_SET;
use zeron_external_scaler_proto::server::ExternalScalerServer;

use super::ownership::Ownership;
use crate::admin::Health;
use args::ExternalScalerArgs;
use service::{Directory, Service};

/// Streams at once: two for each ScaledObject of type external-push.
const MOST_STREAMS: usize = 16_384;
/// All of them come on one connection, and calls beside them.
const MOST_ON_A_CONNECTION: u32 = 20_000;
/// Bytes of one request: its metadata.
const LARGEST_REQUEST: usize = 256 << 10;
/// A peer that vanished is noticed.
const PING_EVERY: Duration = Duration::from_secs(60);
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// How long streams may take to end after they were told to.
const END_WITHIN: Duration = Duration::from_secs(2);
/// How often health follows readiness.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A listener that does not answer yet.
pub(super) struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

/// What is declared, once all of it was seen.
#[derive(Debug)]
struct Declared {
    ownership: Arc<Mutex<Ownership>>,
    health: Arc<dyn Health>,
}

impl Directory for Declared {
    fn is_declared(&self, function: &FunctionId) -> Option<bool> {
        let is_declared = self.ownership.lock().is_declared(function);
        (is_declared || self.health.readiness().is_ready).then_some(is_declared)
    }
}

/// Listens, where that is asked for.
pub(super) async fn listen(args: &ExternalScalerArgs) -> anyhow::Result<Option<Listener>> {
    let Some(address) = args.external_scaler_listen else {
        return Ok(None);
    };
    let tls = tls::acceptor(args).await?;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: --external-scaler-listen chooses another")
    })?;
    Ok(Some(Listener { listener, tls }))
}

impl Listener {
    /// Answers about what `ownership` has declared until `stopped`; then every stream ends in order.
    ///
    /// # Errors
    /// When it cannot serve any more.
    pub(super) async fn run(
        self,
        engine: EngineHandle,
        ownership: Arc<Mutex<Ownership>>,
        health: Arc<dyn Health>,
        stopped: CancellationToken,
    ) -> anyhow::Result<()> {
        let directory = Declared {
            ownership,
            health: Arc::clone(&health),
        };
        let service = Service::new(engine, Arc::new(directory), stopped.clone());
        self.serve(service, health, stopped).await
    }

    async fn serve(
        self,
        service: Service,
        health: Arc<dyn Health>,
        stopped: CancellationToken,
    ) -> anyhow::Result<()> {
        let address = self.listener.local_addr().ok();
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let follow_health = follow_health(reporter, health);
        let scaler = ExternalScalerServer::new(service).max_decoding_message_size(LARGEST_REQUEST);
        let incoming = incoming::incoming(self.listener, self.tls);
        let serving = builder()
            .add_service(health_service)
            .add_service(reflection()?)
            .add_service(scaler)
            .serve_with_incoming_shutdown(incoming, stopped.clone().cancelled_owned());
        said(address);
        let ended = async {
            stopped.cancelled().await;
            tokio::time::sleep(END_WITHIN).await;
        };
        tokio::select! {
            served = serving => served.context("the external scaler cannot serve"),
            () = follow_health => Ok(()),
            // Connections that do not end are left behind.
            () = ended => Ok(()),
        }
    }
}

fn builder() -> Server {
    Server::builder()
        .max_concurrent_streams(MOST_ON_A_CONNECTION)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PONG_WITHIN))
}

fn said(address: Option<SocketAddr>) {
    if let Some(address) = address {
        tracing::info!(%address, "external scaler for KEDA");
    }
}

/// What the protocol is, for tools that ask.
fn reflection() -> anyhow::Result<
    tonic_reflection::server::v1::ServerReflectionServer<
        impl tonic_reflection::server::v1::ServerReflection,
    >,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the protocol cannot be described")
}

/// Says to those who ask whether this process is ready.
async fn follow_health(reporter: tonic_health::server::HealthReporter, health: Arc<dyn Health>) {
    let mut was_ready = None;
    loop {
        let is_ready = health.readiness().is_ready;
        if was_ready != Some(is_ready) {
            was_ready = Some(is_ready);
            let status = if is_ready {
                tonic_health::ServingStatus::Serving
            } else {
                tonic_health::ServingStatus::NotServing
            };
            for name in ["", "externalscaler.ExternalScaler"] {
                reporter.set_service_status(name, status).await;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
