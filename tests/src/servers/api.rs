//! A small HTTP server whose answers a test decides, and which counts what it is asked.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How long the server thinks first.
    pub after: Duration,
}

impl Reply {
    /// 200 with a body.
    pub fn ok(body: impl Into<String>) -> Self {
        Self::status(200, body)
    }

    /// A status with a body.
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            body: body.into(),
            after: Duration::ZERO,
        }
    }

    /// The same, after a while.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }
}

type Answer = dyn Fn(&Parts, &str) -> Reply + Send + Sync;

/// The server. It ends when this is dropped.
pub struct Api {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
    connections: AtomicUsize,
}

impl Api {
    /// Answers each request by its head and its body.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(answer: impl Fn(&Parts, &str) -> Reply + Send + Sync + 'static) -> Self {
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = oneshot::channel();
        let (listening, listens) = std::sync::mpsc::sync_channel(1);
        let (shared, answer): (_, Arc<Answer>) = (Arc::clone(&counts), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("there is a runtime").block_on(async move {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
                let listener = listener.expect("loopback has a free port");
                let address = listener.local_addr().expect("it listens");
                listening.send(address).expect("the test waits for it");
                tokio::select! {
                    () = accept(listener, answer, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: listens.recv().expect("it listens"),
            counts,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Most requests that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.counts.most.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: TcpListener, answer: Arc<Answer>, counts: Arc<Counts>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        counts.connections.fetch_add(1, Ordering::SeqCst);
        let (answer, counts) = (Arc::clone(&answer), Arc::clone(&counts));
        tokio::spawn(async move {
            let serve = |request| reply(request, Arc::clone(&answer), Arc::clone(&counts));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(serve));
            // A client that goes away is the test's own affair.
            drop(connection.await);
        });
    }
}

async fn reply(
    request: Request<Incoming>,
    answer: Arc<Answer>,
    counts: Arc<Counts>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|it| it.to_bytes())
        .unwrap_or_default();
    counts.requests.fetch_add(1, Ordering::SeqCst);
    let running = counts.running.fetch_add(1, Ordering::SeqCst) + 1;
    counts.most.fetch_max(running, Ordering::SeqCst);
    let reply = answer(&parts, &String::from_utf8_lossy(&body));
    if !reply.after.is_zero() {
        tokio::time::sleep(reply.after).await;
    }
    counts.running.fetch_sub(1, Ordering::SeqCst);
    let response = Response::builder().status(reply.status);
    let body = Full::new(Bytes::from(reply.body));
    Ok(response.body(body).expect("a status is all it has"))
}
