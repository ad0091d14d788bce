//! Usage as the metrics API tells it, as kubelets do, and which of them is asked.
#![allow(clippy::unwrap_used)]

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::super::facts::tests::pod;
use super::*;
use crate::counters::Counters;

fn scrape(seconds: f64, at: i64) -> String {
    let labels = "{container=\"app\",namespace=\"ns\",pod=\"a\"}";
    format!(
        "container_cpu_usage_seconds_total{labels} {seconds} {at}\n\
         container_memory_working_set_bytes{labels} 1000 {at}\n\
         pod_cpu_usage_seconds_total{{namespace=\"ns\",pod=\"a\"}} 99 {at}\n"
    )
}

fn app(node: &Node) -> ContainerUsage {
    node.usage.values().next().unwrap().containers[0].clone()
}

#[test]
fn processor_time_is_a_rate_between_two_measurements() {
    let mut node = Node::default();
    node.update(&scrape(10.0, 100_000));
    assert_eq!(
        (app(&node).cpu_millis, app(&node).memory_bytes),
        (None, Some(1000.0))
    );
    node.update(&scrape(10.0, 100_000));
    assert_eq!(app(&node).cpu_millis, None, "the same measurement");
    node.update(&scrape(12.5, 110_000));
    assert_eq!(app(&node).cpu_millis, Some(250.0));
    node.update(&scrape(12.5, 110_000));
    assert_eq!(app(&node).cpu_millis, Some(250.0));
    node.update(&scrape(1.0, 120_000));
    assert_eq!(app(&node).cpu_millis, None, "a new container");
    node.update("");
    assert!(node.usage.is_empty() && node.counters.is_empty());
}

#[test]
fn the_metrics_api_is_read() {
    let item: PodMetrics = serde_json::from_value(json!({
        "metadata": {"name": "a"}, "timestamp": "2026-01-02T03:04:05Z", "window": "15.5s",
        "containers": [{"name": "app", "usage": {"cpu": "150000000n", "memory": "2Ki"}}],
    }))
    .unwrap();
    let usage = from_metrics(&item);
    assert!((usage.containers[0].cpu_millis.unwrap() - 150.0).abs() < 1e-6);
    assert_eq!(usage.containers[0].memory_bytes, Some(2048.0));
    assert_eq!(usage.window, Duration::from_millis(15_500));
}

// === an API server that knows what is used ===

#[derive(Debug, Default)]
struct Server {
    /// By namespace: status and answer of the metrics API. It is missing where nothing is said.
    metrics: Mutex<HashMap<&'static str, (u16, Value)>>,
    /// Nodes whose kubelet cannot be asked.
    silent: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<String>>,
}

impl Server {
    fn source(self: &Arc<Self>) -> UsageSource {
        let own = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (status, body) = own.answer(request.uri().path());
            let response = Response::builder()
                .status(StatusCode::from_u16(status).unwrap())
                .body(Body::from(body.into_bytes()));
            async move { response }
        });
        let client = Client::new(service, "default");
        let counters = Arc::new(Counters::new());
        UsageSource::new(Caller::new(client, counters, Duration::from_secs(1)))
    }

    fn answer(&self, path: &str) -> (u16, String) {
        self.asked.lock().push(path.to_owned());
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            [
                "apis",
                "metrics.k8s.io",
                "v1beta1",
                "namespaces",
                namespace,
                "pods",
            ] => {
                let metrics = self.metrics.lock();
                let (status, answer) = metrics.get(namespace).cloned().unwrap_or((404, json!({})));
                (status, answer.to_string())
            }
            ["api", "v1", "nodes", node, "proxy", "metrics", "resource"] => {
                match self.silent.lock().contains(node) {
                    true => (503, "{}".to_owned()),
                    false => (
                        200,
                        scrape(1.0, 1000).replace("\"a\"", &format!("\"on-{node}\"")),
                    ),
                }
            }
            _ => (500, "{}".to_owned()),
        }
    }

    fn metrics_of(&self, namespace: &'static str, status: u16, answer: Value) {
        self.metrics.lock().insert(namespace, (status, answer));
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock());
        asked.sort();
        asked
    }
}

fn listed(name: &str, cpu: &str) -> Value {
    let containers = json!([{ "name": "app", "usage": { "cpu": cpu, "memory": "1Ki" } }]);
    json!({ "items": [{ "metadata": { "name": name }, "containers": containers }] })
}

const A: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods";
const B: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/b/pods";
const N: &str = "/api/v1/nodes/n/proxy/metrics/resource";

#[tokio::test]
async fn each_namespace_is_asked_for_once_and_no_kubelet() {
    let server = Arc::new(Server::default());
    server.metrics_of("a", 200, listed("x", "20m"));
    server.metrics_of("b", 200, listed("x", "0.5"));
    let source = server.source();
    let pods = [
        pod("a", "x", "n"),
        pod("a", "unmeasured", "n"),
        pod("b", "x", "n"),
    ];
    let usage = source.read(pods.iter()).await.unwrap();
    assert_eq!(server.asked(), [A, B]);
    let cpu = |pod: &PodFacts| usage.of(pod).map(|it| it.containers[0].cpu_millis.unwrap());
    assert_eq!(cpu(&pods[0]), Some(20.0));
    assert_eq!(cpu(&pods[1]), None);
    assert_eq!(
        cpu(&pods[2]),
        Some(500.0),
        "pods of the same name are told apart"
    );
}

#[tokio::test(start_paused = true)]
async fn a_metrics_api_that_is_missing_is_looked_for_again_after_a_minute() {
    for status in [404, 503] {
        let server = Arc::new(Server::default());
        server.metrics_of("a", status, json!({}));
        let source = server.source();
        let pods = [pod("ns", "on-n", "n"), pod("a", "x", "n")];
        let usage = source.read(pods[1..].iter()).await.unwrap();
        assert_eq!(server.asked(), [N, A]);
        let memory = usage.of(&pods[0]).unwrap().containers[0].memory_bytes;
        assert_eq!(memory, Some(1000.0));
        source.read(pods[1..].iter()).await.unwrap();
        assert!(
            server.asked().is_empty(),
            "the kubelet measures anew after some seconds"
        );
        tokio::time::advance(KUBELET_AGE * 2).await;
        source.read(pods[1..].iter()).await.unwrap();
        assert_eq!(server.asked(), [N]);
        tokio::time::advance(LOOK_AGAIN).await;
        server.metrics_of("a", 200, listed("x", "1"));
        let usage = source.read(pods[1..].iter()).await.unwrap();
        assert_eq!(server.asked(), [A]);
        assert!(usage.of(&pods[1]).is_some());
    }
}

#[tokio::test]
async fn a_refusal_is_unknown_and_no_reason_to_ask_kubelets() {
    let cases = [
        (403, json!({ "message": "no" }), UnknownKind::Authentication),
        (500, json!({}), UnknownKind::Transport),
        (200, json!({ "items": 3 }), UnknownKind::Parse),
    ];
    for (status, answer, kind) in cases {
        let server = Arc::new(Server::default());
        server.metrics_of("a", status, answer);
        // One namespace that can be read does not make the rest known.
        server.metrics_of("b", 200, listed("x", "1"));
        let pods = [pod("a", "x", "n"), pod("b", "x", "n")];
        let unknown = server.source().read(pods.iter()).await.unwrap_err();
        assert_eq!(unknown.kind, kind, "{unknown:?}");
        assert!(
            unknown.message.starts_with("metrics.k8s.io: "),
            "{unknown:?}"
        );
        assert!(!server.asked().contains(&N.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_kubelet_said_counts_for_a_minute_without_more() {
    let server = Arc::new(Server::default());
    let source = server.source();
    let pods = [pod("ns", "on-n", "n")];
    assert!(source.read(pods.iter()).await.is_ok());
    server.silent.lock().push("n");
    tokio::time::advance(KUBELET_AGE * 2).await;
    let usage = source.read(pods.iter()).await.unwrap();
    assert!(usage.of(&pods[0]).is_some());
    tokio::time::advance(KUBELET_FRESH_FOR).await;
    let unknown = source.read(pods.iter()).await.unwrap_err();
    assert!(unknown.message.starts_with("kubelet of n: "), "{unknown:?}");
}

#[tokio::test]
async fn pods_of_a_kubelet_that_is_silent_have_no_metrics_and_those_of_others_do() {
    let server = Arc::new(Server::default());
    server.silent.lock().push("m");
    let source = server.source();
    let pods = [pod("ns", "on-n", "n"), pod("ns", "on-m", "m")];
    let usage = source.read(pods.iter()).await.unwrap();
    assert!(usage.of(&pods[0]).is_some());
    assert!(usage.of(&pods[1]).is_none());
    let alone = source.read(pods[1..].iter()).await.unwrap_err();
    assert!(alone.message.starts_with("kubelet of m: "), "{alone:?}");
}
