//! The API server as the roles see it: a proxy before the real one that fails as it is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use zeron_tests::cluster::Cluster;

/// What becomes of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Nobody is there: connections break.
    Gone,
    /// Connections are taken, and nothing is answered.
    Silent,
    /// Answers take so much longer.
    Slow(Duration),
    /// This status instead of an answer.
    Refuse(u16),
    /// Watches end with 410, as the API server ends those whose beginning it forgot; the rest passes.
    Expired,
    /// No such group.
    Without(&'static str),
}

/// A proxy. A change of its mode breaks all connections.
pub(crate) struct Api {
    mode: watch::Sender<Mode>,
    failed: Arc<AtomicUsize>,
    folder: TempDir,
    _runtime: Runtime,
}

struct Server {
    client: Client,
    mode: watch::Receiver<Mode>,
    failed: Arc<AtomicUsize>,
}

impl Api {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let runtime = super::way::runtime();
        let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let (client, listener) = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(file, &options)
                .await
                .unwrap();
            (
                Client::try_from(config).unwrap(),
                TcpListener::bind("127.0.0.1:0").await.unwrap(),
            )
        });
        let folder = tempfile::tempdir().unwrap();
        write_kubeconfig(&folder, listener.local_addr().unwrap());
        let (mode, modes) = watch::channel(Mode::Pass);
        let failed = Arc::new(AtomicUsize::new(0));
        let server = Server {
            client,
            mode: modes,
            failed: Arc::clone(&failed),
        };
        runtime.spawn(serve(listener, Arc::new(server)));
        Self {
            mode,
            failed,
            folder,
            _runtime: runtime,
        }
    }

    /// For roles that shall go through it.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many requests were not answered as the API server would have.
    pub(crate) fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }
}

fn write_kubeconfig(folder: &TempDir, address: SocketAddr) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: proxy\n\
         clusters:\n- name: proxy\n  cluster: {{ server: 'http://{address}' }}\n\
         users:\n- name: proxy\n  user: {{}}\n\
         contexts:\n- name: proxy\n  context: {{ cluster: proxy, user: proxy }}\n"
    );
    std::fs::write(folder.path().join("kubeconfig"), text).unwrap();
}

async fn serve(listener: TcpListener, server: Arc<Server>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(Arc::clone(&server).connection(stream));
    }
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let mut mode = self.mode.clone();
        if *mode.borrow_and_update() == Mode::Gone {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            _ = served => {}
            _ = mode.changed() => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let mode = self.mode.borrow().clone();
        let (path, query) = (
            request.uri().path(),
            request.uri().query().unwrap_or_default(),
        );
        let failed = match mode {
            Mode::Refuse(code) => Some(status(code)),
            Mode::Without(group) if path.starts_with(&format!("/apis/{group}/")) => {
                Some(status(404))
            }
            // The connection ends with the mode.
            Mode::Silent => std::future::pending().await,
            Mode::Expired if query.contains("watch=") => Some(expired()),
            Mode::Slow(by) => {
                tokio::time::sleep(by).await;
                None
            }
            Mode::Pass | Mode::Gone | Mode::Expired | Mode::Without(_) => None,
        };
        match failed {
            Some(answer) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                answer
            }
            None => self.forward(request).await,
        }
    }

    async fn forward(&self, request: Request<Incoming>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
            head.headers.remove(name);
        }
        let Ok(body) = body.collect().await else {
            return status(400);
        };
        let request = Request::from_parts(head, Body::from(body.to_bytes()));
        self.client
            .send(request)
            .await
            .unwrap_or_else(|_| status(502))
    }
}

/// As the API server says it.
fn object(code: u16) -> serde_json::Value {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let message = "said by the test";
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn status(code: u16) -> Response<Body> {
    let text = object(code).to_string();
    let response = Response::builder()
        .status(code)
        .header("content-type", "application/json");
    response.body(Body::from(Bytes::from(text))).unwrap()
}

fn expired() -> Response<Body> {
    let event = serde_json::json!({ "type": "ERROR", "object": object(410) });
    let response = Response::builder().header("content-type", "application/json");
    response
        .body(Body::from(Bytes::from(format!("{event}\n"))))
        .unwrap()
}
