//! One client connection: TLS, PROXY protocol, and which HTTP is spoken.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::framing::Checker;
use crate::io::{Guarded, Socket};
use crate::peer::{self, Entrance, Peer};
use crate::worker::{Open, Shared, Worker};
use crate::{proxy_protocol, stack};

/// How an HTTP/2 connection begins. No HTTP/1 method does.
const PREFACE: &[u8; 3] = b"PRI";

/// A connection whose client is known.
struct Arrived<I> {
    io: I,
    peer: Arc<Peer>,
}

/// Serves one connection to its end.
pub(crate) async fn serve(
    worker: Arc<Worker>,
    stream: TcpStream,
    address: SocketAddr,
    entrance: Entrance,
    tls: Option<TlsAcceptor>,
    open: Open,
) {
    stream.set_nodelay(true).ok();
    let socket = Socket::new(stream);
    let arrival = arrive(&worker, socket, address, entrance, tls.is_some());
    let arrived = tokio::select! {
        biased;
        arrived = arrival => arrived,
        () = worker.shared.last_call(entrance) => return,
    };
    match (arrived, tls) {
        (Ok(arrived), None) => serve_plain(&worker, arrived).await,
        // Boxed, as all that is rarer than HTTP/1, so that this one stays small.
        (Ok(arrived), Some(tls)) => Box::pin(serve_tls(&worker, arrived, &tls)).await,
        // It spoke no PROXY protocol, or went away at once: nothing was asked.
        (Err(error), _) => {
            tracing::debug!(%address, error = &error as &dyn std::error::Error, "not served");
        }
    }
    drop(open);
}

/// Reads the PROXY header, where one is due.
async fn arrive(
    worker: &Worker,
    mut socket: Socket,
    address: SocketAddr,
    entrance: Entrance,
    is_tls: bool,
) -> io::Result<Arrived<Socket>> {
    let config = &worker.shared.config;
    let is_activator = entrance == Entrance::Activators;
    let is_trusted = is_activator || peer::is_trusted(address.ip(), &config.trusted_proxies);
    let client = if config.proxy_protocol && is_trusted && !is_activator {
        let header = proxy_protocol::read(&mut socket);
        let (client, rest) = tokio::time::timeout(config.limits.head_timeout, header).await??;
        socket.give_back(rest);
        client
    } else {
        None
    };
    // Whoever the proxy names is a stranger, unless it is a proxy of ours too.
    let is_trusted = client.map_or(is_trusted, |client| {
        peer::is_trusted(client.ip(), &config.trusted_proxies)
    });
    let address = client.unwrap_or(address);
    let peer = Peer::new(address, entrance, is_trusted, is_tls, Some(socket.clone()));
    Ok(Arrived {
        io: socket,
        peer: Arc::new(peer),
    })
}

async fn serve_plain(worker: &Arc<Worker>, mut arrived: Arrived<Socket>) {
    let limit = worker.shared.config.limits.keep_alive_timeout;
    let is_http2 = tokio::select! {
        biased;
        is_http2 = tokio::time::timeout(limit, is_http2(&mut arrived.io)) => is_http2,
        () = worker.shared.last_call(arrived.peer.entrance) => return,
    };
    match is_http2 {
        Ok(Ok(true)) => Box::pin(serve_http2(worker, arrived)).await,
        Ok(Ok(false)) => serve_http1(worker, arrived).await,
        // Nothing was asked.
        Ok(Err(_)) | Err(_) => {}
    }
}

async fn serve_tls(worker: &Arc<Worker>, arrived: Arrived<Socket>, tls: &TlsAcceptor) {
    let limit = worker.shared.config.limits.head_timeout;
    let Ok(Ok(io)) = tokio::time::timeout(limit, tls.accept(arrived.io)).await else {
        return;
    };
    let is_http2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
    let arrived = Arrived {
        io,
        peer: arrived.peer,
    };
    if is_http2 {
        Box::pin(serve_http2(worker, arrived)).await;
    } else {
        Box::pin(serve_http1(worker, arrived)).await;
    }
}

/// Looks at the first bytes. Nearly always the first look is enough, and takes nothing.
async fn is_http2(socket: &mut Socket) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    let length = socket.peek(&mut first).await?;
    if length == PREFACE.len() || !PREFACE.starts_with(&first[..length]) || length == 0 {
        return Ok(first == *PREFACE);
    }
    // So far it may be either: only reading tells when there is more.
    let mut read = 0;
    while read < PREFACE.len() && PREFACE.starts_with(&first[..read]) {
        match socket.read(&mut first[read..]).await? {
            0 => break,
            more => read += more,
        }
    }
    socket.give_back(Bytes::copy_from_slice(&first[..read]));
    Ok(first[..read] == *PREFACE)
}

async fn serve_http1<I>(worker: &Arc<Worker>, arrived: Arrived<I>)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = &worker.shared.config.limits;
    let Arrived { io, peer } = arrived;
    let entrance = peer.entrance;
    let checker = Checker::new(limits.max_head_bytes);
    let io = Guarded::new(io, Arc::clone(&peer), Some(checker), limits);
    let service =
        service_fn(|request| stack::serve(Arc::clone(worker), Arc::clone(&peer), request));
    let connection = http1_builder(limits)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // Answers say that no request follows; only who asks nothing is closed.
    let end = worker.shared.end(entrance);
    if until(connection.as_mut(), &worker.shared, end).await {
        return;
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = worker.shared.cut_late.cancelled() => {}
    }
}

async fn serve_http2<I>(worker: &Arc<Worker>, arrived: Arrived<I>)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = &worker.shared.config.limits;
    let Arrived { io, peer } = arrived;
    let entrance = peer.entrance;
    let io = Guarded::new(io, Arc::clone(&peer), None, limits);
    let service =
        service_fn(|request| stack::serve(Arc::clone(worker), Arc::clone(&peer), request));
    let connection = http2_builder(limits).serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    // GOAWAY is the only way to say that no request follows.
    let end = match entrance {
        Entrance::Activators => worker.shared.end(entrance),
        Entrance::Shared | Entrance::Port(_) => &worker.shared.lame,
    };
    if until(connection.as_mut(), &worker.shared, end).await {
        return;
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = worker.shared.cut_late.cancelled() => {}
    }
}

/// Polls `connection` until it ends (`true`) or `end` comes (`false`). Whatever ended it, its
/// requests are counted where they ended.
async fn until<C: Future>(
    mut connection: Pin<&mut C>,
    shared: &Shared,
    end: &CancellationToken,
) -> bool {
    let mut end = pin!(end.cancelled());
    let mut is_registered = false;
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // The first poll leaves this task's waker; later ones need not ask again.
        if !std::mem::replace(&mut is_registered, true) || shared.is_draining() {
            return end.as_mut().poll(cx).map(|()| false);
        }
        Poll::Pending
    })
    .await
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Ours, in `io`, costs no timer per request.
        .header_read_timeout(None)
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

#[cfg(test)]
mod tests {
    use http::Request;
    use hyper::body::Incoming;

    use super::*;
    use crate::body::AnswerBody;
    use crate::house::House;

    fn size_of_answer<R>(_: fn(Arc<Worker>, Arc<Peer>, Request<Incoming>) -> R) -> usize {
        size_of::<R>()
    }

    /// What is held by the thousand while it waits stays small.
    #[tokio::test]
    async fn connections_and_requests_stay_small() -> io::Result<()> {
        let (link, _other_end) = zeron_wire::link();
        let house = Arc::new(House::new(&crate::Config::default(), link.sender));
        let registry = Arc::new(crate::registry::Registry::new(house));
        let shared = Arc::new(Shared::new(crate::Config::default(), registry));
        let worker = Worker::new(shared, 0);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stream = TcpStream::connect(address).await?;
        let open = worker.open().expect("there is room for one");
        let connection = serve(
            Arc::clone(&worker),
            stream,
            address,
            Entrance::Shared,
            None,
            open,
        );
        let connection = size_of_val(&connection);
        assert!(connection <= 1536, "{connection}");
        let request = size_of_answer(stack::serve);
        assert!(request <= 2304, "{request}");
        assert!(size_of::<AnswerBody>() <= 192);
        Ok(())
    }
}
