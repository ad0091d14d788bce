//! The Kubernetes API as JSON over one client: no typed objects, nothing between the clock and the request.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// A client of the API server. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) client: Client,
    runtime: std::sync::Arc<tokio::runtime::Runtime>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// Connects as the kubeconfig says; the file of its certificate authority too.
    pub(crate) fn connect(kubeconfig: &Path) -> Result<(Self, Option<PathBuf>)> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let parsed = Kubeconfig::read_from(kubeconfig)?;
        let authority = parsed
            .clusters
            .first()
            .and_then(|it| it.cluster.as_ref())
            .and_then(|cluster| cluster.certificate_authority.clone())
            .map(PathBuf::from);
        let client = runtime.block_on(async {
            let config =
                Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        let runtime = std::sync::Arc::new(runtime);
        Ok((Self { client, runtime }, authority))
    }

    /// Runs a future on the client's runtime.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Enters the client's runtime, for what spawns tasks.
    pub(crate) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(future)
    }

    /// What `path` holds.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Creates an object in the collection `path`.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(("application/json", object)))
            .await
    }

    /// Deletes an object or a whole collection; what is gone already is well.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        match self.call(Method::DELETE, path, None).await {
            Err(error) if is_missing(&error) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Merges fields into the object at `path`.
    pub(crate) async fn patch(&self, path: &str, fields: &Value) -> Result<()> {
        let body = Some(("application/merge-patch+json", fields));
        self.call(Method::PATCH, path, body).await.map(drop)
    }

    /// Sets the replicas of a Deployment, as `kubectl scale` does.
    pub(crate) async fn scale(&self, namespace: &str, name: &str, replicas: u32) -> Result<()> {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale");
        let patch = json!({"spec": {"replicas": replicas}});
        self.patch(&path, &patch).await
    }

    /// Looks at `path` until `found` says that it is as it should be.
    pub(crate) async fn wait<T>(
        &self,
        path: &str,
        what: &str,
        within: Duration,
        found: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = found(&self.get(path).await?) {
                return Ok(found);
            }
            anyhow::ensure!(Instant::now() < deadline, "{what}: not within {within:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Value> {
        let mut request = Request::builder().method(method.clone()).uri(path);
        let mut bytes = Vec::new();
        if let Some((kind, object)) = body {
            request = request.header("content-type", kind);
            bytes = serde_json::to_vec(object)?;
        }
        let answer = self.client.request(request.body(bytes)?).await;
        answer.with_context(|| format!("{method} {path}"))
    }
}

/// Whether the object of a failed request is not there.
pub(crate) fn is_missing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 404)
}
