//! Connections to a scaler: resolved, checked, dialled, with a pause after every failure.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tonic::codegen::{Service, http};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::roles::BoxFuture;

use super::address::Address;
use super::link::LinkKey;
use crate::AddressPolicy;
use crate::source::unknown;

/// Longest wait for a connection, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Either end of a connection, encrypted or not.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Dials one scaler. Cheap to clone.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Dial>);

struct Dial {
    address: Address,
    policy: AddressPolicy,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    failed: Mutex<Option<Failed>>,
}

/// The newest failure: it is the answer to whoever asks before the pause is over.
struct Failed {
    reason: Unknown,
    pause: Duration,
    until: Instant,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(super) struct DialError(pub(super) Unknown);

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}

impl Dialer {
    /// Dials where `key` says, as far as `policy` allows.
    pub(super) fn new(key: &LinkKey, policy: AddressPolicy) -> Result<Self, Unknown> {
        let tls = match &key.tls {
            None => None,
            Some(settings) => {
                let mut config = settings.client_config()?;
                config.alpn_protocols = vec![b"h2".to_vec()];
                let name = ServerName::try_from(key.address.host.clone()).map_err(|_| {
                    let message = format!("{} is no name that a certificate has", key.address);
                    unknown(UnknownKind::Configuration, message)
                })?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Ok(Self(Arc::new(Dial {
            address: key.address.clone(),
            policy,
            tls,
            failed: Mutex::default(),
        })))
    }

    /// Why the newest attempt failed, if it did.
    pub(super) fn failure(&self) -> Option<Unknown> {
        let failed = self.0.failed.lock();
        failed.as_ref().map(|failed| failed.reason.clone())
    }
}

impl Dial {
    async fn dial(&self) -> Result<Box<dyn Io>, Unknown> {
        if let Some(failed) = self.failed.lock().as_ref()
            && Instant::now() < failed.until
        {
            return Err(failed.reason.clone());
        }
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.connect()).await;
        let connected = connected.unwrap_or_else(|_| {
            let message = format!(
                "{} did not take a connection within {CONNECT_WITHIN:?}",
                self.address
            );
            Err(unknown(UnknownKind::Timeout, message))
        });
        let mut failed = self.failed.lock();
        match &connected {
            Ok(_) => *failed = None,
            Err(reason) => {
                let pause = failed.as_ref().map_or(FIRST_PAUSE, |it| it.pause * 2);
                let pause = pause.min(LONGEST_PAUSE);
                *failed = Some(Failed {
                    reason: reason.clone(),
                    pause,
                    until: Instant::now() + pause,
                });
            }
        }
        connected
    }

    async fn connect(&self) -> Result<Box<dyn Io>, Unknown> {
        let Address { host, port } = &self.address;
        let found = self.policy.resolve(host, *port, CONNECT_WITHIN).await?;
        let stream = self.first(&found).await?;
        let Some((connector, name)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let encrypted = connector.connect(name.clone(), stream).await;
        let encrypted = encrypted.map_err(|error| {
            // A certificate that one of us does not accept.
            let message = format!("no TLS with {}: {error}", self.address);
            unknown(UnknownKind::Authentication, message)
        })?;
        Ok(Box::new(encrypted))
    }

    /// A connection to the first of `addresses` that takes one.
    async fn first(&self, addresses: &[std::net::SocketAddr]) -> Result<TcpStream, Unknown> {
        let stream = TcpStream::connect(addresses).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        stream.map_err(|error| {
            let message = format!("cannot connect to {}: {error}", self.address);
            unknown(UnknownKind::Transport, message)
        })
    }
}

/// The URI is the channel's own: there is one address.
impl Service<http::Uri> for Dialer {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Self::Response, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let dial = Arc::clone(&self.0);
        Box::pin(async move { dial.dial().await.map(TokioIo::new).map_err(DialError) })
    }
}
