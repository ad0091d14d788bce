//! A plain HTTP proxy in front of the API server that counts what each role asks for.
//!
//! Works with every cluster, whatever its audit policy logs. Each request is counted when it arrives.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::measures::cluster::api::Api;

/// How often each `verb resource` was asked for.
pub(super) type Counts = BTreeMap<String, u64>;

/// A running proxy.
#[derive(Debug)]
pub(super) struct Counting {
    counts: Arc<Mutex<Counts>>,
    task: JoinHandle<()>,
    folder: TempDir,
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Counting {
    /// Starts it on loopback.
    pub(super) fn start(api: &Api) -> Result<Self> {
        let listener = api.block_on(TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)))?;
        let folder = tempfile::tempdir()?;
        write_kubeconfig(&folder.path().join("kubeconfig"), listener.local_addr()?)?;
        let counts = Arc::new(Mutex::new(Counts::new()));
        let task = api.spawn(serve(listener, api.client.clone(), Arc::clone(&counts)));
        Ok(Self {
            counts,
            task,
            folder,
        })
    }

    /// The kubeconfig that leads through it.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// What was asked for since the last call.
    pub(super) fn take(&self) -> Counts {
        std::mem::take(&mut self.counts.lock())
    }
}

fn write_kubeconfig(file: &Path, address: SocketAddr) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "counting",
        "clusters": [{"name": "counting", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "counting", "user": {}}],
        "contexts": [{"name": "counting", "context": {"cluster": "counting", "user": "counting"}}],
    });
    Ok(std::fs::write(file, config.to_string())?)
}

async fn serve(listener: TcpListener, client: kube::Client, counts: Arc<Mutex<Counts>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (client, counts) = (client.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let what = kind(&request);
                *counts.lock().entry(what).or_default() += 1;
                pass_on(client.clone(), request)
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away ends its own connection alone.
            connection.await.ok();
        });
    }
}

async fn pass_on(
    client: kube::Client,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (mut parts, body) = request.into_parts();
    // The client puts in its own.
    parts.headers.remove(http::header::HOST);
    let answer = match body.collect().await {
        Ok(body) => {
            let body = Body::from(body.to_bytes().to_vec());
            client.send(Request::from_parts(parts, body)).await
        }
        Err(error) => Err(kube::Error::HyperError(error)),
    };
    Ok(answer.unwrap_or_else(|error| {
        crate::bench::note(format_args!("proxy: {error}"));
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
        answer
    }))
}

/// Such as `watch pods` or `PATCH leases`: the last part of the path that is a resource.
fn kind<B>(request: &Request<B>) -> String {
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query
        .split('&')
        .any(|part| matches!(part, "watch=true" | "watch=1"));
    let verb = if is_watch {
        "watch"
    } else {
        request.method().as_str()
    };
    format!("{verb} {}", resource(request.uri().path()))
}

fn resource(path: &str) -> &str {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let begin = if parts.first() == Some(&"api") { 2 } else { 3 };
    let rest = parts.get(begin..).unwrap_or_default();
    match rest {
        ["namespaces", _, resource, ..] | [resource, ..] => resource,
        [] => "discovery",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, uri: &str) -> String {
        kind(&Request::builder().method(method).uri(uri).body(()).unwrap())
    }

    #[test]
    fn requests_are_told_apart_by_verb_and_resource() {
        assert_eq!(of("GET", "/api/v1/pods?watch=true&limit=5"), "watch pods");
        assert_eq!(
            of("GET", "/apis/apps/v1/namespaces/a/deployments/b/scale"),
            "GET deployments"
        );
        assert_eq!(
            of(
                "PATCH",
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b"
            ),
            "PATCH leases"
        );
        assert_eq!(of("GET", "/apis/keda.sh/v1alpha1"), "GET discovery");
    }
}
