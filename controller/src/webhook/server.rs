//! Serves reviews over HTTPS, within bounds of time, bytes and connections.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::certificate::{Certificate, CertificateError};
use super::neighbours::LookUp;
use super::review::{MAX_BODY, review};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 256;
/// Until a TLS handshake is done, and between the requests of a connection.
const HANDSHAKE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(120);

/// What the server shows: nothing yet, or a certificate.
#[derive(Debug, Default)]
pub(super) struct Identity(RwLock<Option<Shown>>);

#[derive(Debug)]
struct Shown {
    certificate: Certificate,
    config: Arc<rustls::ServerConfig>,
}

impl Identity {
    /// From now on this one.
    pub(super) fn show(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        let is_shown = |shown: &Shown| shown.certificate == *certificate;
        if self.0.read().as_ref().is_some_and(is_shown) {
            return Ok(());
        }
        let config = Arc::new(certificate.server()?);
        let certificate = certificate.clone();
        *self.0.write() = Some(Shown {
            certificate,
            config,
        });
        Ok(())
    }

    fn config(&self) -> Option<Arc<rustls::ServerConfig>> {
        self.0
            .read()
            .as_ref()
            .map(|shown| Arc::clone(&shown.config))
    }
}

pub(super) struct Server<L> {
    look_up: Arc<L>,
    identity: Arc<Identity>,
    timeout: Duration,
}

impl<L: LookUp> Server<L> {
    pub(super) fn new(look_up: L, identity: Arc<Identity>, timeout: Duration) -> Self {
        Self {
            look_up: Arc::new(look_up),
            identity,
            timeout,
        }
    }

    /// For ever. Connections beyond the bound wait to be accepted.
    pub(super) async fn run(&self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut tasks = tokio::task::JoinSet::new();
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the webhooks is not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            while tasks.try_join_next().is_some() {}
            let Some(config) = self.identity.config() else {
                continue;
            };
            let (look_up, timeout) = (Arc::clone(&self.look_up), self.timeout);
            tasks.spawn(async move {
                let _place = place;
                connection(stream, TlsAcceptor::from(config), look_up, timeout).await;
            });
        }
    }
}

async fn connection<L: LookUp>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    look_up: Arc<L>,
    timeout: Duration,
) {
    stream.set_nodelay(true).ok();
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let service = service_fn(move |request| {
        let look_up = Arc::clone(&look_up);
        async move { Ok::<_, Infallible>(answer(request, &*look_up, timeout).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the webhooks ended");
    }
}

async fn answer<L: LookUp>(
    request: Request<Incoming>,
    look_up: &L,
    timeout: Duration,
) -> Response<Full<Bytes>> {
    if request.method() != Method::POST || request.uri().path() != "/validate" {
        return status(StatusCode::NOT_FOUND);
    }
    let work = async {
        let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
        let Ok(body) = body.map(http_body_util::Collected::to_bytes) else {
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let Ok(question) = serde_json::from_slice(&body) else {
            return status(StatusCode::BAD_REQUEST);
        };
        match review(&question, look_up).await {
            Some(answer) => json(answer.to_string()),
            None => status(StatusCode::BAD_REQUEST),
        }
    };
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| status(StatusCode::GATEWAY_TIMEOUT))
}

fn json(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let kind = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
