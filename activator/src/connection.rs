//! One client connection: TLS, PROXY protocol, and which HTTP is spoken.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::config::Limits;
use crate::peer::{self, Peer};
use crate::stack;
use crate::worker::{Open, Worker};

/// How an HTTP/2 connection begins. No HTTP/1 method does.
const PREFACE: &[u8] = b"PRI";

/// Serves one connection to its end.
pub(crate) async fn serve(
    worker: Arc<Worker>,
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    open: Open,
) {
    stream.set_nodelay(true).ok();
    let is_trusted = peer::is_trusted(address.ip(), &worker.shared.config.trusted_proxies);
    match tls {
        None => {
            let peer = Arc::new(Peer::new(address, is_trusted, false));
            match is_http2(&stream).await {
                true => serve_http2(&worker, peer, stream).await,
                false => serve_http1(&worker, peer, stream).await,
            }
        }
        Some(tls) => {
            let peer = Arc::new(Peer::new(address, is_trusted, true));
            let limit = worker.shared.config.limits.head_timeout;
            let Ok(Ok(stream)) = tokio::time::timeout(limit, tls.accept(stream)).await else {
                return;
            };
            match stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                true => serve_http2(&worker, peer, stream).await,
                false => serve_http1(&worker, peer, stream).await,
            }
        }
    }
    drop(open);
}

/// Looks at the first bytes without taking them.
async fn is_http2(stream: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    match stream.peek(&mut first).await {
        Ok(length) => length > 0 && first[..length] == PREFACE[..length] && length == PREFACE.len(),
        Err(_) => false,
    }
}

async fn serve_http1<I>(worker: &Arc<Worker>, peer: Arc<Peer>, stream: I)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| {
        let serve = stack::serve(Arc::clone(worker), Arc::clone(&peer), request);
        async { Ok::<_, Infallible>(serve.await) }
    });
    let connection = http1_builder(&worker.shared.config.limits)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        // Whatever ended it, its requests are counted where they ended.
        _ = connection.as_mut() => return,
        () = worker.shared.drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = worker.shared.cut.cancelled() => {}
    }
}

async fn serve_http2<I>(worker: &Arc<Worker>, peer: Arc<Peer>, stream: I)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| {
        let serve = stack::serve(Arc::clone(worker), Arc::clone(&peer), request);
        async { Ok::<_, Infallible>(serve.await) }
    });
    let connection =
        http2_builder(&worker.shared.config.limits).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = worker.shared.drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = worker.shared.cut.cancelled() => {}
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .max_buf_size(limits.max_buffer_bytes)
        .max_header_size(limits.max_head_bytes);
    if limits.max_headers != Limits::default().max_headers {
        // hyper keeps its own default on the stack, any other on the heap.
        builder.max_headers(limits.max_headers);
    }
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits.http2_stream_window)
        .initial_connection_window_size(limits.http2_connection_window)
        .max_concurrent_streams(limits.http2_max_streams)
        .max_send_buf_size(limits.max_buffer_bytes)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.http2_max_pending_resets)
        .max_local_error_reset_streams(limits.http2_max_local_resets)
        .keep_alive_interval(limits.keep_alive_timeout)
        .keep_alive_timeout(limits.head_timeout);
    builder
}
