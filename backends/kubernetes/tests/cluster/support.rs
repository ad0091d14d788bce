//! A namespace of a real cluster for one test.

use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, Request};
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use zeron_backend_kubernetes::target::failure_of_status;
use zeron_backend_kubernetes::{ClientOptions, LabelSelector, ScaleTarget, TargetPort};
use zeron_core::{EndpointSink, EndpointSnapshot, FunctionId};

/// An image that every node of the test cluster has.
pub(crate) const IMAGE: &str = "dev.local/zeron-example-function:test";

/// A namespace of its own.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// Runs a test in a namespace that is removed afterwards; skips it loudly without a cluster.
pub(crate) fn in_cluster<F, T>(name: &str, test: F)
where
    F: FnOnce(Cluster) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let Some(file) = std::env::var_os("ZERON_TEST_KUBECONFIG") else {
        skip(name, "ZERON_TEST_KUBECONFIG names no cluster");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = ClientOptions {
            kubeconfig: Some(PathBuf::from(file)),
            ..ClientOptions::default()
        };
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let cluster = Cluster {
            client: options.connect().await.unwrap(),
            namespace: format!("zeron-backend-{:x}", since.unwrap().as_micros()),
        };
        let object = json!({"metadata": {"name": cluster.namespace}});
        cluster.create("/api/v1/namespaces", &object).await;
        let outcome = tokio::spawn(test(cluster.clone())).await;
        let path = format!("/api/v1/namespaces/{}", cluster.namespace);
        cluster.send(Method::DELETE, &path, None, None).await.ok();
        if let Err(error) = outcome {
            std::panic::resume_unwind(error.into_panic());
        }
    });
}

/// Past the capture of the test harness, and into the report that is counted.
fn skip(name: &str, why: &str) {
    let line = format!("SKIPPED: {name}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(report) = std::env::var_os("ZERON_SKIP_REPORT") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(report).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

impl Cluster {
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind.unwrap_or("application/json"))
            .body(
                body.map(|body| serde_json::to_vec(body).unwrap())
                    .unwrap_or_default(),
            );
        self.client.request(request.unwrap()).await
    }

    pub(crate) async fn create(&self, path: &str, object: &Value) -> Value {
        let answer = self.send(Method::POST, path, None, Some(object)).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, None, None).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Creates a workload at zero; `pod` replaces fields of its pods' spec.
    pub(crate) async fn workload(&self, kind: &str, name: &str, pod: Value) -> ScaleTarget {
        let plural = format!("{}s", kind.to_lowercase());
        let mut spec = json!({"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "app", "image": IMAGE, "imagePullPolicy": "Never",
            "ports": [{"containerPort": 8080, "name": "http"}],
            "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}},
        }]});
        for (key, value) in pod.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
            },
        });
        if kind == "StatefulSet" {
            object["spec"]["serviceName"] = json!(name);
            object["spec"]["podManagementPolicy"] = json!("Parallel");
        }
        let path = format!("/apis/apps/v1/namespaces/{}/{plural}", self.namespace);
        let object = self.create(&path, &object).await;
        self.target(&object, "apps/v1", kind, &plural)
    }

    /// What a watcher of `object` would declare.
    pub(crate) fn target(
        &self,
        object: &Value,
        group: &str,
        kind: &str,
        plural: &str,
    ) -> ScaleTarget {
        let name = object["metadata"]["name"].as_str().unwrap();
        let text = |value: &Value| value.as_str().map(Arc::from);
        let replicas = object["spec"]["replicas"].as_u64();
        ScaleTarget {
            id: FunctionId::new(&self.namespace, kind, name),
            api_version: group.into(),
            kind: kind.into(),
            plural: plural.into(),
            name: name.into(),
            namespace: self.namespace.as_str().into(),
            uid: text(&object["metadata"]["uid"]),
            resource_version: text(&object["metadata"]["resourceVersion"]),
            selector: Arc::new(LabelSelector::from_labels([("app", name)])),
            replicas: replicas.map(|count| u32::try_from(count).unwrap()),
            port: TargetPort::Name("http".into()),
            failure: failure_of_status(&object["status"]),
            is_deleting: false,
        }
    }

    /// The count as the API server has it.
    pub(crate) async fn count(&self, target: &ScaleTarget) -> u64 {
        let scale = self.get(&path_of(target, "/scale")).await;
        scale["spec"]["replicas"].as_u64().unwrap_or(0)
    }

    /// The target as it is now.
    pub(crate) async fn again(&self, target: &ScaleTarget) -> ScaleTarget {
        let object = self.get(&path_of(target, "")).await;
        self.target(&object, &target.api_version, &target.kind, &target.plural)
    }
}

pub(crate) fn path_of(target: &ScaleTarget, subresource: &str) -> String {
    format!(
        "/apis/{}/namespaces/{}/{}/{}{subresource}",
        target.api_version, target.namespace, target.plural, target.name
    )
}

/// Carries bytes to the API server, until it is told to swallow them.
pub(crate) struct Proxy {
    port: u16,
    generation: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let generation = Arc::new(AtomicU64::new(0));
        let server = server().authority().unwrap().to_string();
        let current = Arc::clone(&generation);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = upstream.into_split();
                let own = current.load(Ordering::SeqCst);
                tokio::spawn(carry(from_client, to_server, own, Arc::clone(&current)));
                tokio::spawn(carry(from_server, to_client, own, Arc::clone(&current)));
            }
        });
        Self { port, generation }
    }

    /// Nothing passes any more on connections that stand; none of them is closed.
    pub(crate) fn silence(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// A client that goes this way, by a kubeconfig that names the server's own name.
    pub(crate) async fn client(&self) -> Client {
        let file = std::env::var_os("ZERON_TEST_KUBECONFIG").unwrap();
        let own = server();
        let text = std::fs::read_to_string(file).unwrap();
        let here = format!(
            "https://127.0.0.1:{}\n    tls-server-name: {}",
            self.port,
            own.host().unwrap()
        );
        let address = own.to_string();
        let text = text.replace(address.trim_end_matches('/'), &here);
        let path = std::env::temp_dir().join(format!("zeron-proxy-{}.kubeconfig", self.port));
        std::fs::write(&path, text).unwrap();
        let options = ClientOptions {
            kubeconfig: Some(path.clone()),
            ..ClientOptions::default()
        };
        let client = options.connect().await.unwrap();
        std::fs::remove_file(path).unwrap();
        client
    }
}

/// Where the API server is.
fn server() -> http::Uri {
    let file = std::env::var_os("ZERON_TEST_KUBECONFIG").unwrap();
    let config = kube::config::Kubeconfig::read_from(file).unwrap();
    let cluster = config.clusters[0].cluster.clone().unwrap();
    cluster.server.unwrap().parse().unwrap()
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, own: u64, current: Arc<AtomicU64>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) if current.load(Ordering::SeqCst) != own => {}
            Ok(count) => to.write_all(&buffer[..count]).await.unwrap(),
        }
    }
}

/// One publication.
type Seen = (FunctionId, Option<Arc<EndpointSnapshot>>);

/// A sink that can be waited for.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    seen: Mutex<Vec<Seen>>,
    changed: Notify,
}

impl EndpointSink for Watched {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        self.seen.lock().push((function.clone(), snapshot));
        self.changed.notify_one();
    }
}

impl Watched {
    pub(crate) fn latest(&self, id: &FunctionId) -> Option<Arc<EndpointSnapshot>> {
        let seen = self.seen.lock();
        let last = seen.iter().rev().find(|(function, _)| function == id);
        last.and_then(|(_, snapshot)| snapshot.clone())
    }

    /// Waits until the snapshot of `id` is as it should be.
    pub(crate) async fn until(
        &self,
        id: &FunctionId,
        is_so: impl Fn(&EndpointSnapshot) -> bool,
    ) -> Arc<EndpointSnapshot> {
        let wait = async {
            loop {
                if let Some(snapshot) = self.latest(id).filter(|snapshot| is_so(snapshot)) {
                    return snapshot;
                }
                self.changed.notified().await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), wait).await {
            Ok(snapshot) => snapshot,
            Err(_) => panic!("{id} never came so far:\n{}", self.story(id)),
        }
    }

    pub(crate) fn story(&self, id: &FunctionId) -> String {
        let mut story = String::new();
        for (function, snapshot) in self.seen.lock().iter().filter(|(one, _)| one == id) {
            writeln!(story, "{function}: {snapshot:?}").unwrap();
        }
        story
    }
}

/// Waits for a condition that only asking tells.
pub(crate) async fn until<T: Future<Output = bool>>(what: &str, is_so: impl Fn() -> T) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
