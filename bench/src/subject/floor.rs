//! The floor: the least that a correct hyper reverse proxy does. One thread, pooled upstream connections, no limits,
//! no routing, no counting.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use http::header::{self, HeaderMap, HeaderName};
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use super::loopback;

/// The floor's arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Where every request goes.
    #[arg(long)]
    upstream: SocketAddr,
}

/// RFC 9110, section 7.6.1; `Connection` itself names more.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Serves on a port of the kernel's choice until it is ended.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(loopback(0)).await?;
    println!("listening {}", listener.local_addr()?);
    serve(listener, options.upstream).await;
    Ok(())
}

/// Accepts until dropped.
pub(crate) async fn serve(listener: TcpListener, upstream: SocketAddr) {
    let pool = Arc::new(Pool {
        upstream,
        idle: Mutex::default(),
    });
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).ok();
        let pool = Arc::clone(&pool);
        let service = service_fn(move |request| forward(request, Arc::clone(&pool)));
        let connection = server::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move { drop(connection.await) });
    }
}

type Upstream = SendRequest<Incoming>;
type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
struct Pool {
    upstream: SocketAddr,
    idle: Mutex<Vec<Upstream>>,
}

impl Pool {
    /// The connection used last, which is likeliest in cache, or a new one.
    async fn check_out(&self) -> Result<Upstream, Error> {
        loop {
            let idle = self.idle.lock().pop();
            let Some(mut sender) = idle else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

async fn forward(
    mut request: Request<Incoming>,
    pool: Arc<Pool>,
) -> Result<Response<Pooled>, Error> {
    strip(request.headers_mut());
    let mut sender = pool.check_out().await?;
    let mut response = sender.send_request(request).await?;
    strip(response.headers_mut());
    Ok(response.map(|body| Pooled {
        body,
        lease: Some((pool, sender)),
    }))
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// A body that gives its connection back at its end.
struct Pooled {
    body: Incoming,
    lease: Option<(Arc<Pool>, Upstream)>,
}

impl Pooled {
    fn put_back(&mut self) {
        if let Some((pool, sender)) = self.lease.take() {
            pool.idle.lock().push(sender);
        }
    }
}

impl Body for Pooled {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.put_back();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.put_back(); // an empty body is never polled
        }
    }
}
