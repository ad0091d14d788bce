//! The origin: a hyper server that answers bodies of a known pattern, works for a while if asked, and tells how
//! many requests it had at once.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::events::{self, What};
use super::loopback;
use crate::affinity;

/// Answer header: the process that answered.
pub(crate) const INSTANCE: &str = "x-bench-instance";
/// Answer header: most requests that the process ever had at once.
pub(crate) const PEAK: &str = "x-bench-peak";

/// The largest body.
const LARGEST: usize = 64 * 1024;

/// The origin's arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Core to move to: under `zeron up` an origin would inherit the proxy's.
    #[arg(long)]
    core: Option<usize>,
    /// Milliseconds before it listens.
    #[arg(long, default_value_t = 0)]
    ready_after: u64,
    /// Do not listen at all: a function that events wake.
    #[arg(long)]
    deaf: bool,
}

/// The first `size` bytes of the pattern; at most 64 KiB.
pub(crate) fn body(size: usize) -> Bytes {
    pattern().slice(..size.min(LARGEST))
}

fn pattern() -> Bytes {
    static PATTERN: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    // 61 is prime: a chunk out of place does not look right.
    PATTERN
        .get_or_init(|| {
            (0..LARGEST)
                .map(|i| b'A' + u8::try_from(i % 61).unwrap_or(0))
                .collect()
        })
        .clone()
}

/// Serves on `$PORT`, or on a port of the kernel's choice, until SIGTERM; then finishes what is in flight.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    events::tell(What::Start);
    if let Some(core) = options.core {
        affinity::pin(core)?;
    }
    if options.deaf {
        term.recv().await;
        events::tell(What::Term);
        return Ok(());
    }
    if options.ready_after > 0 {
        let ready = tokio::time::sleep(Duration::from_millis(options.ready_after));
        tokio::select! {
            () = ready => {}
            _ = term.recv() => return Ok(()),
        }
    }
    let port = std::env::var("PORT")
        .ok()
        .map(|port| port.parse())
        .transpose()?
        .unwrap_or(0);
    let listener = TcpListener::bind(loopback(port)).await?;
    println!("listening {}", listener.local_addr()?);
    let (stop, stopping) = watch::channel(false);
    tokio::select! {
        () = serve(listener, stopping) => {}
        _ = term.recv() => events::tell(What::Term),
    }
    stop.send_replace(true);
    stop.closed().await;
    Ok(())
}

/// Accepts until dropped. Connections end by themselves once `stopping` says so.
pub(crate) async fn serve(listener: TcpListener, stopping: watch::Receiver<bool>) {
    let load = Arc::new(InFlight::default());
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&load), stopping.clone()));
        }
    }
}

async fn connection(stream: TcpStream, load: Arc<InFlight>, mut stopping: watch::Receiver<bool>) {
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| answer(request, Arc::clone(&load)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return drop(ended),
        _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
    }
    // The client may have left: nothing to do about it.
    connection.await.ok();
}

/// Requests at this origin.
#[derive(Debug, Default)]
struct InFlight {
    now: AtomicU32,
    peak: AtomicU32,
}

/// Counts one request for as long as it lives.
struct Visit<'a>(&'a InFlight);

impl InFlight {
    fn enter(&self) -> Visit<'_> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(now, Ordering::Relaxed);
        Visit(self)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn answer(
    request: Request<Incoming>,
    load: Arc<InFlight>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _visit = load.enter();
    let query = request.uri().query().unwrap_or_default();
    let work = Duration::from_millis(parameter(query, "work_ms"));
    if !work.is_zero() {
        tokio::time::sleep(work).await;
    }
    let size = usize::try_from(parameter(query, "bytes")).unwrap_or(LARGEST);
    let mut response = Response::new(Full::new(body(size)));
    let headers = response.headers_mut();
    headers.insert(INSTANCE, HeaderValue::from(std::process::id()));
    headers.insert(PEAK, HeaderValue::from(load.peak.load(Ordering::Relaxed)));
    Ok(response)
}

/// A number of the query; 0 without one.
fn parameter(query: &str, name: &str) -> u64 {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_by_name() {
        assert_eq!(parameter("bytes=64&work_ms=5", "work_ms"), 5);
        assert_eq!(parameter("bytes=x", "bytes"), 0);
        assert_eq!(parameter("", "bytes"), 0);
    }

    #[test]
    fn a_body_is_the_start_of_the_pattern() {
        assert_eq!(body(64).len(), 64);
        assert!(body(4_096).starts_with(&body(64)));
    }

    #[test]
    fn the_peak_stays_when_requests_leave() {
        let load = InFlight::default();
        let both = (load.enter(), load.enter());
        drop(both);
        drop(load.enter());
        assert_eq!(
            (
                load.now.load(Ordering::Relaxed),
                load.peak.load(Ordering::Relaxed)
            ),
            (0, 2)
        );
    }
}
