//! Reaching a replica: a pooled connection or a new one, and one exchange over it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use zeron_core::function::Protocol;

use crate::body::RequestBody;
use crate::config::Limits;
use crate::pool::{Connection, Lease, Pool};
use crate::queue_tls::{QueueTls, QueueTlsError};
use crate::replica::Replica;

/// A request that cannot be repeated takes no connection that was idle for longer than this: the
/// replica may be closing it at this very moment.
pub(crate) const FRESH: Duration = Duration::from_millis(500);

/// Why no connection stands.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("connect failed")]
    Io(#[source] io::Error),
    #[error("connect timed out")]
    Timeout,
    #[error("no tls with it")]
    Tls(#[source] QueueTlsError),
    #[error("handshake failed")]
    Handshake(#[source] hyper::Error),
}

/// The way from one worker to the replicas.
#[derive(Debug)]
pub(crate) struct Upstream {
    pool: Arc<Pool>,
    limits: Limits,
    /// Replicas are queue-proxies that speak TLS.
    tls: Option<QueueTls>,
}

impl Upstream {
    pub(crate) fn new(limits: Limits, tls: Option<QueueTls>) -> Self {
        Self {
            pool: Arc::default(),
            limits,
            tls,
        }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// A connection to `replica`, one of `namespace`, for a request that may, or may not, be sent
    /// twice.
    pub(crate) async fn connection(
        &self,
        replica: &Replica,
        namespace: &str,
        protocol: Protocol,
        is_repeatable: bool,
    ) -> Result<Connection, ConnectError> {
        let pooled = match protocol {
            Protocol::H2c => self.pool.http2(replica.key),
            Protocol::Http1 | Protocol::None => {
                let max_idle = if is_repeatable {
                    self.limits.pool_idle_timeout
                } else {
                    FRESH
                };
                self.pool.http1(replica.key, max_idle)
            }
        };
        match pooled {
            Some(connection) => Ok(connection),
            None => Box::pin(self.connect(replica, namespace, protocol)).await,
        }
    }

    /// A new connection.
    async fn connect(
        &self,
        replica: &Replica,
        namespace: &str,
        protocol: Protocol,
    ) -> Result<Connection, ConnectError> {
        let Some(tls) = &self.tls else {
            let stream = self.reach(replica.address).await?;
            return self.handshake(replica, protocol, stream).await;
        };
        let stream = self.reach(QueueTls::address(replica.address)).await?;
        let tls = tls.connect(stream, namespace, protocol == Protocol::H2c);
        let stream = tokio::time::timeout(self.limits.connect_timeout, tls)
            .await
            .map_err(|_| ConnectError::Timeout)?
            .map_err(ConnectError::Tls)?;
        self.handshake(replica, protocol, stream).await
    }

    async fn reach(&self, address: SocketAddr) -> Result<TcpStream, ConnectError> {
        let connect = TcpStream::connect(address);
        let stream = tokio::time::timeout(self.limits.connect_timeout, connect)
            .await
            .map_err(|_| ConnectError::Timeout)?
            .map_err(ConnectError::Io)?;
        stream.set_nodelay(true).map_err(ConnectError::Io)?;
        Ok(stream)
    }

    async fn handshake<I>(
        &self,
        replica: &Replica,
        protocol: Protocol,
        stream: I,
    ) -> Result<Connection, ConnectError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = if protocol == Protocol::H2c {
            self.handshake_http2(replica, stream).await
        } else {
            self.handshake_http1(stream).await
        };
        connection.map_err(ConnectError::Handshake)
    }

    async fn handshake_http1<I>(&self, stream: I) -> hyper::Result<Connection>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.limits.max_buffer_bytes);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Whoever waits for an answer gets the error.
            connection.with_upgrades().await.ok();
        });
        Ok(Connection::Http1 { sender, idle: None })
    }

    async fn handshake_http2<I>(&self, replica: &Replica, stream: I) -> hyper::Result<Connection>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(self.limits.http2_stream_window)
            .initial_connection_window_size(self.limits.http2_connection_window)
            .max_send_buf_size(self.limits.max_buffer_bytes)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            connection.await.ok();
        });
        Ok(self.pool.share(replica.key, sender))
    }

    /// Sends `request` at once and waits for the head of the answer.
    pub(crate) fn exchange(
        &self,
        replica: &Replica,
        connection: Connection,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<(Response<Incoming>, Lease), Exchange>> + use<> {
        match connection {
            Connection::Http1 { mut sender, .. } => {
                let sent = sender.try_send_request(request);
                let lease = Lease::Http1 {
                    pool: Arc::clone(&self.pool),
                    key: replica.key,
                    sender,
                };
                Either::Left(async move { Ok((sent.await.map_err(Exchange::of)?, lease)) })
            }
            Connection::Http2 {
                mut sender, stream, ..
            } => {
                let sent = sender.try_send_request(request);
                let lease = Lease::Http2 { _stream: stream };
                Either::Right(async move { Ok((sent.await.map_err(Exchange::of)?, lease)) })
            }
        }
    }
}

/// How an exchange failed.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// hyper gave the request back: not a byte of it was written.
    NotSent(Box<Request<RequestBody>>),
    Broken(hyper::Error),
}

impl Exchange {
    fn of(mut error: hyper::client::conn::TrySendError<Request<RequestBody>>) -> Self {
        match error.take_message() {
            Some(request) => Self::NotSent(Box::new(request)),
            None => Self::Broken(error.into_error()),
        }
    }
}
