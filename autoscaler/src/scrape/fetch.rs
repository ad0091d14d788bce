//! One replica's load over HTTP: its queue-proxy answers with one protobuf `Stat`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use zeron_wire::knative::proto::Stat;

/// Until the whole answer is there.
const WITHIN: Duration = Duration::from_secs(3);
/// The largest answer: a `Stat` whose pod has a name of full length.
const MAX_ANSWER: usize = 336;
/// The only format there is.
const FORMAT: &str = "application/protobuf";
/// Connections kept for the next second.
const MAX_KEPT: usize = 4_096;
/// How long a connection is kept without use.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Why a replica did not say its load.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("the connection failed")]
    Exchange(#[source] hyper::Error),
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("answered in another format")]
    Format,
    #[error("answered more than {MAX_ANSWER} bytes, or broke off")]
    Body,
    #[error("answered what is no statistic")]
    Malformed(#[source] prost::DecodeError),
    #[error("did not answer within {WITHIN:?}")]
    Timeout,
}

impl FetchError {
    /// What a mesh answers that does not let replicas be addressed.
    pub(crate) fn is_mesh_like(&self) -> bool {
        matches!(
            self,
            Self::Status(StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
        )
    }
}

type Body = Empty<Bytes>;

/// A connection that nobody else drives: it moves on only while somebody asks through it.
struct Kept {
    sender: SendRequest<Body>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Body>>>,
    used: Instant,
}

/// Asks replicas, over connections that are kept.
#[derive(Default)]
pub(crate) struct Fetcher {
    kept: Mutex<HashMap<SocketAddr, Kept>>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.kept.lock().len();
        f.debug_struct("Fetcher").field("kept", &kept).finish()
    }
}

impl Fetcher {
    /// The load of the replica at `address`.
    pub(crate) async fn replica(&self, address: SocketAddr) -> Result<Stat, FetchError> {
        let host = address.to_string();
        within(async {
            let kept = self.kept.lock().remove(&address);
            if let Some(mut kept) = kept.filter(|kept| !kept.sender.is_closed()) {
                match kept.ask(&host, true).await {
                    // It may have been closed since the last time.
                    Err(FetchError::Exchange(_)) => {}
                    answer => return self.keep(address, kept, answer),
                }
            }
            let mut new = Kept::connect(address).await?;
            let answer = new.ask(&host, true).await;
            self.keep(address, new, answer)
        })
        .await
    }

    /// The load of whichever replica answers behind `service` (`name.namespace`), on a connection
    /// of its own: another time it is another replica.
    pub(crate) async fn service(&self, service: &str, port: u16) -> Result<Stat, FetchError> {
        within(async {
            let found = tokio::net::lookup_host((service, port)).await;
            let address = found.map_err(FetchError::Connect)?.next();
            let address = address.ok_or_else(|| {
                let nobody = std::io::Error::from(std::io::ErrorKind::NotFound);
                FetchError::Connect(nobody)
            })?;
            let mut kept = Kept::connect(address).await?;
            kept.ask(&format!("{service}:{port}"), false).await
        })
        .await
    }

    fn keep(
        &self,
        address: SocketAddr,
        mut kept: Kept,
        answer: Result<Stat, FetchError>,
    ) -> Result<Stat, FetchError> {
        let mut all = self.kept.lock();
        if answer.is_ok() && all.len() < MAX_KEPT {
            kept.used = Instant::now();
            all.insert(address, kept);
        }
        answer
    }

    /// Closes what was not used for a while.
    pub(crate) fn prune(&self) {
        self.kept
            .lock()
            .retain(|_, kept| kept.used.elapsed() < KEPT_FOR);
    }
}

async fn within(
    answer: impl Future<Output = Result<Stat, FetchError>>,
) -> Result<Stat, FetchError> {
    timeout(WITHIN, answer)
        .await
        .unwrap_or(Err(FetchError::Timeout))
}

impl Kept {
    async fn connect(address: SocketAddr) -> Result<Self, FetchError> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(FetchError::Connect)?;
        stream.set_nodelay(true).map_err(FetchError::Connect)?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(FetchError::Exchange)?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            used: Instant::now(),
        })
    }

    async fn ask(&mut self, host: &str, is_kept: bool) -> Result<Stat, FetchError> {
        let request = request(host, is_kept)?;
        let answer = Box::pin(read(&mut self.sender, request));
        match select(answer, &mut self.connection).await {
            Either::Left((answer, _)) => answer,
            // It ended, with or without an answer on its way.
            Either::Right((_, answer)) => answer.await,
        }
    }
}

fn request(host: &str, is_kept: bool) -> Result<Request<Body>, FetchError> {
    const AGENT: HeaderValue =
        HeaderValue::from_static(concat!("zeron/", env!("CARGO_PKG_VERSION")));
    let host = HeaderValue::from_str(host).map_err(|_| {
        let invalid = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        FetchError::Connect(invalid)
    })?;
    let mut request = Request::new(Body::new());
    *request.uri_mut() = http::Uri::from_static("/metrics");
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(ACCEPT, HeaderValue::from_static(FORMAT));
    headers.insert(USER_AGENT, AGENT);
    if !is_kept {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(request)
}

async fn read(sender: &mut SendRequest<Body>, request: Request<Body>) -> Result<Stat, FetchError> {
    sender.ready().await.map_err(FetchError::Exchange)?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(FetchError::Exchange)?;
    if !answer.status().is_success() {
        return Err(FetchError::Status(answer.status()));
    }
    let format = answer.headers().get(CONTENT_TYPE);
    if format.is_none_or(|format| format != FORMAT) {
        return Err(FetchError::Format);
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|_| FetchError::Body)?;
    Stat::decode(body.to_bytes()).map_err(FetchError::Malformed)
}
