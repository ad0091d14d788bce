//! Functions to forward to: one that says what it parsed, one whose answers a test holds back,
//! and one that is a bare socket.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Answers with the request line, the header fields in order and the body's length, as parsed.
pub async fn echo() -> SocketAddr {
    serve(|request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let mut text = format!("{} {}\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            text += &format!("{name}: {}\n", value.to_str().unwrap_or("?"));
        }
        match body.collect().await {
            Ok(body) => {
                let body = body.to_bytes();
                text += &format!("body {} {:?}\n", body.len(), body);
            }
            Err(_) => text += "body broken\n",
        }
        Response::new(Full::new(Bytes::from(text)))
    })
    .await
}

/// An origin whose answers wait for the test.
#[derive(Clone, Debug)]
pub struct Gate {
    pub address: SocketAddr,
    go: Arc<Semaphore>,
    now: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
    seen: watch::Sender<u32>,
}

impl Gate {
    pub async fn new() -> Self {
        let go = Arc::new(Semaphore::new(0));
        let (now, most) = <(Arc<AtomicU32>, Arc<AtomicU32>)>::default();
        let seen = watch::Sender::new(0);
        let state = (
            Arc::clone(&go),
            Arc::clone(&now),
            Arc::clone(&most),
            seen.clone(),
        );
        let address = serve(move |request: Request<Incoming>| {
            let (go, now, most, seen) = state.clone();
            async move {
                seen.send_modify(|seen| *seen += 1);
                let here = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(here, Ordering::SeqCst);
                go.acquire().await.unwrap().forget();
                now.fetch_sub(1, Ordering::SeqCst);
                Response::new(Full::new(Bytes::from(request.uri().path().to_owned())))
            }
        })
        .await;
        Self {
            address,
            go,
            now,
            most,
            seen,
        }
    }

    /// Lets `count` requests finish.
    pub fn open(&self, count: usize) {
        self.go.add_permits(count);
    }

    /// Most requests that were here at once.
    pub fn most(&self) -> u32 {
        self.most.load(Ordering::SeqCst)
    }

    /// Waits until so many requests came.
    pub async fn until_seen(&self, count: u32) {
        let mut seen = self.seen.subscribe();
        let came = super::soon(seen.wait_for(|seen| *seen >= count)).await;
        came.expect("its sender is ours");
    }

    /// Requests that came.
    pub fn seen(&self) -> u32 {
        *self.seen.borrow()
    }
}

/// Serves HTTP/1.1 and HTTP/2 with `answer`.
pub async fn serve<F, R>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let mut first = [0; 3];
                stream.peek(&mut first).await.ok();
                let io = TokioIo::new(stream);
                if &first == b"PRI" {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service)
                        .await
                        .ok();
                } else {
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .with_upgrades()
                        .await
                        .ok();
                }
            });
        }
    });
    address
}
