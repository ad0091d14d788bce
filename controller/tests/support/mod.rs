//! A namespace of its own on a real API server (`ZERON_TEST_KUBECONFIG`).
#![allow(clippy::unwrap_used, dead_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use zeron_controller::crds::manifests;

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The API server, and a namespace that ends with the test.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Where the API server is, as its kubeconfig says.
    pub(crate) host: String,
}

/// Runs `test` with the kinds defined, or says that it was skipped.
pub(crate) async fn in_cluster<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Place) -> F) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let Some(file) = std::env::var_os("ZERON_TEST_KUBECONFIG") else {
        return skip(name, "ZERON_TEST_KUBECONFIG names no cluster");
    };
    let kubeconfig = Kubeconfig::read_from(file).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let config = config.await.unwrap();
    let host = config.cluster_url.host().unwrap_or_default().to_owned();
    let place = Place {
        client: Client::try_from(config).unwrap(),
        host,
        namespace: format!("zeron-objects-{}-{number}", std::process::id()),
    };
    place.define().await;
    let namespace = json!({"metadata": {"name": place.namespace}});
    let made = place.send(Method::POST, "/api/v1/namespaces", "json", &namespace);
    made.await.unwrap();
    let outcome = std::panic::AssertUnwindSafe(test(place.clone()));
    let outcome = outcome.catch_unwind().await;
    place.clear().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn skip(name: &str, why: &str) {
    let line = format!("SKIPPED: {name}: {why}\n");
    eprint!("{line}");
    if let Some(report) = std::env::var_os("ZERON_SKIP_REPORT") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.append(true).open(report).unwrap();
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    }
}

impl Place {
    /// Applies all definitions and waits until they are served.
    async fn define(&self) {
        for manifest in manifests() {
            let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            let apply = format!("{path}?fieldManager=zeron-crds&force=true");
            self.send(Method::PATCH, &apply, "apply-patch+yaml", &manifest)
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            self.until(&format!("{name} is served"), || async {
                let found = self.get(&path).await?;
                let all = found["status"]["conditions"].as_array()?.clone();
                let is = |kind: &str| {
                    all.iter()
                        .any(|c| c["type"] == kind && c["status"] == "True")
                };
                is("Established").then_some(())
            })
            .await;
        }
    }

    /// Deletes the namespace, and ends what no reconciler ends any more.
    async fn clear(&self) {
        let namespace = format!("/api/v1/namespaces/{}", self.namespace);
        let none = json!({});
        let deleted = self.send(Method::DELETE, &namespace, "json", &none);
        deleted.await.ok();
        let freed = json!({ "metadata": { "finalizers": null } });
        for kind in [self.http_scaled_objects(), self.scaled_objects()] {
            self.until(&format!("{kind} are gone"), || async {
                let all = self.get(&kind).await?["items"].as_array()?.clone();
                for object in &all {
                    let name = object["metadata"]["name"].as_str()?;
                    let path = format!("{kind}/{name}");
                    // It may be gone by now.
                    self.send(Method::PATCH, &path, "merge-patch+json", &freed)
                        .await
                        .ok();
                }
                all.is_empty().then_some(())
            })
            .await;
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: &Value,
    ) -> Result<Value, kube::Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", format!("application/{content}"))
            .body(body.to_string().into_bytes())
            .unwrap();
        self.client.request(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let request = Request::get(path).body(Vec::new()).unwrap();
        self.client.request(request).await.ok()
    }

    /// The path of the objects of a kind, such as `keda.sh/v1alpha1` and `scaledobjects`.
    pub(crate) fn path(&self, api_version: &str, plural: &str) -> String {
        format!("/apis/{api_version}/namespaces/{}/{plural}", self.namespace)
    }

    pub(crate) fn scaled_objects(&self) -> String {
        self.path("keda.sh/v1alpha1", "scaledobjects")
    }

    pub(crate) fn http_scaled_objects(&self) -> String {
        self.path("http.keda.sh/v1alpha1", "httpscaledobjects")
    }

    /// Creates an object at the path of its kind.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, String> {
        let made = self.send(Method::POST, path, "json", object).await;
        made.map_err(|error| match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        })
    }

    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> Value {
        let patched = self.send(Method::PATCH, path, "merge-patch+json", patch);
        patched.await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) {
        self.send(Method::DELETE, path, "json", &json!({}))
            .await
            .unwrap();
    }

    /// Waits until `look` sees something.
    pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        look: impl FnMut() -> F,
    ) -> T {
        self.within(PATIENCE, what, look).await
    }

    async fn within<T, F: Future<Output = Option<T>>>(
        &self,
        limit: Duration,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> T {
        let end = Instant::now() + limit;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < end, "not within {limit:?}: {what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until an object is gone.
    pub(crate) async fn until_gone(&self, path: &str) {
        self.until_gone_within(PATIENCE, path).await;
    }

    /// The same with a limit of its own.
    pub(crate) async fn until_gone_within(&self, limit: Duration, path: &str) {
        let what = format!("{path} is gone");
        self.within(limit, &what, || async {
            match self.get(path).await {
                None => Some(()),
                Some(_) => None,
            }
        })
        .await;
    }
}

pub(crate) fn scaled_object(name: &str, target: &str) -> Value {
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"name": target},
            "triggers": [{"type": "kafka", "metadata": {"topic": "orders"}}],
        },
    })
}

pub(crate) fn http_scaled_object(name: &str, target: &str) -> Value {
    json!({
        "apiVersion": "http.keda.sh/v1alpha1",
        "kind": "HTTPScaledObject",
        "metadata": {"name": name, "labels": {"team": "a"}},
        "spec": {
            "hosts": [format!("{name}.example.com")],
            "scaleTargetRef": {"name": target, "service": target, "port": 80},
            "replicas": {"min": 0, "max": 3},
        },
    })
}

/// A Deployment without pods: nothing matches its image, and it is asked for no replica.
pub(crate) fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "main",
                    "image": "dev.local/zeron-example-function:test",
                    "imagePullPolicy": "Never",
                }]},
            },
        },
    })
}
