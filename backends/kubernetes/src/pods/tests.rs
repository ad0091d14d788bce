#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

use kube::client::Body;
use serde_json::{Value, json};
use zeron_core::EndpointSnapshot;

use super::*;
use crate::following::testing::Server;
use crate::target::TargetPort;

fn target(name: &str) -> ScaleTarget {
    ScaleTarget {
        id: FunctionId::new("ns", "Deployment", name),
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        plural: "deployments".into(),
        name: name.into(),
        namespace: "ns".into(),
        uid: None,
        resource_version: None,
        selector: Arc::new(LabelSelector::from_labels([("app", name)])),
        replicas: Some(1),
        port: TargetPort::First,
        failure: None,
        is_deleting: false,
    }
}

fn pod(name: &str, app: &str) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": name, "labels": {"app": app}, "uid": name},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 80}]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    })
}

/// Notes what it is told, and may call back.
#[derive(Debug, Default)]
struct Notes {
    seen: Mutex<Vec<(String, Option<usize>)>>,
    back: Mutex<Option<Pods>>,
}

impl EndpointSink for Notes {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        let count = snapshot.map(|snapshot| snapshot.endpoints.len());
        self.seen.lock().push((function.name().to_owned(), count));
        let back = self.back.lock().take();
        if let Some(pods) = back {
            pods.declare(target("late"));
        }
    }
}

impl Notes {
    fn take(&self) -> Vec<(String, Option<usize>)> {
        std::mem::take(&mut self.seen.lock())
    }
}

fn note(name: &str, count: Option<usize>) -> (String, Option<usize>) {
    (name.to_owned(), count)
}

#[tokio::test]
async fn a_sink_gets_the_state_now_then_every_change_then_the_end() {
    let pods = Pods::without_watch();
    pods.declare(target("a"));
    pods.put(pod("a-1", "a"));
    let notes = Arc::new(Notes::default());
    pods.subscribe(Arc::clone(&notes) as Arc<dyn EndpointSink>);
    assert_eq!(notes.take(), [note("a", Some(1))]);
    pods.put(pod("a-2", "a"));
    pods.forget(&target("a").id);
    pods.forget(&target("a").id);
    assert_eq!(notes.take(), [note("a", Some(2)), note("a", None)]);
}

#[tokio::test]
async fn a_sink_may_call_back_and_order_is_kept() {
    let pods = Pods::without_watch();
    let notes = Arc::new(Notes::default());
    *notes.back.lock() = Some(pods.clone());
    pods.subscribe(Arc::clone(&notes) as Arc<dyn EndpointSink>);
    pods.declare(target("a"));
    assert_eq!(notes.take(), [note("a", Some(0)), note("late", Some(0))]);
}

#[tokio::test]
async fn our_own_pods_are_followed_by_their_labels() {
    let pods = Pods::without_watch();
    pods.put(pod("a-1", "a"));
    let selector = LabelSelector::from_labels([("app", "a")]);
    let followed = pods.follow("ns", selector);
    assert_eq!(followed.borrow().len(), 1);
    assert_eq!(&*followed.borrow()[0].name, "a-1");
}

/// An API server that gives these answers, one after the other, then holds.
fn scripted(answers: Vec<(u16, Value)>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let (answers, log) = (
        Mutex::new(answers.into_iter()),
        Arc::new(Mutex::new(Vec::new())),
    );
    let (answers, noted) = (Arc::new(answers), Arc::clone(&log));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let is_watch = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        noted
            .lock()
            .push(if is_watch { "watch" } else { "list" }.to_owned());
        let answer = answers.lock().next();
        async move {
            let Some((status, body)) = answer else {
                return std::future::pending().await;
            };
            let body = Body::from(format!("{body}\n").into_bytes());
            let mut response = http::Response::new(body);
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            Ok::<_, tower::BoxError>(response)
        }
    });
    (Client::new(service, "default"), log)
}

fn list(pods: &[Value]) -> (u16, Value) {
    (
        200,
        json!({"metadata": {"resourceVersion": "7"}, "items": pods}),
    )
}

fn expired() -> Value {
    json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410,
           "reason": "Expired", "message": "too old resource version"}})
}

/// The endpoints of `a`, once they are so many after so many publications.
async fn endpoints(pods: &Pods, name: &str) -> Arc<EndpointSnapshot> {
    let notes = Arc::new(Latest::default());
    pods.subscribe(Arc::clone(&notes) as Arc<dyn EndpointSink>);
    for _ in 0..10_000 {
        if let Some(snapshot) = notes.0.lock().clone()
            && pods
                .replicas(&target("a").id)
                .iter()
                .any(|one| &*one.name == name)
        {
            return snapshot;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} never came");
}

#[derive(Debug, Default)]
struct Latest(Mutex<Option<Arc<EndpointSnapshot>>>);

impl EndpointSink for Latest {
    fn publish(&self, _: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        *self.0.lock() = snapshot;
    }
}

fn start(client: Client) -> Pods {
    let pods = Pods::start(client, PodsConfig::default(), Arc::new(Counters::new()));
    pods.declare(target("a"));
    pods
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_expired_lists_again_and_forgets_what_is_gone() {
    let answers = vec![
        list(&[pod("old", "a")]),
        (200, expired()),
        list(&[pod("new", "a")]),
    ];
    let (client, log) = scripted(answers);
    let pods = start(client);
    let snapshot = endpoints(&pods, "new").await;
    assert_eq!(snapshot.endpoints.len(), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(*log.lock(), ["list", "watch", "list", "watch"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_asked_again_after_a_pause() {
    let refused = |status: u16| (status, json!({"kind": "Status", "code": status}));
    let answers = vec![
        refused(429),
        refused(500),
        refused(403),
        list(&[pod("a-1", "a")]),
    ];
    let (client, log) = scripted(answers);
    let started = tokio::time::Instant::now();
    let pods = start(client);
    pods.synced().await;
    assert_eq!(endpoints(&pods, "a-1").await.endpoints.len(), 1);
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(log.lock()[..4], ["list", "list", "list", "list"]);
}

#[tokio::test(start_paused = true)]
async fn only_pods_with_the_labels_are_asked_for() {
    let (sender, mut asked) = tokio::sync::mpsc::channel(1);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let sender = sender.clone();
        async move {
            sender.send(query).await.unwrap();
            std::future::pending::<Result<http::Response<Body>, tower::BoxError>>().await
        }
    });
    let config = PodsConfig {
        labels: Some("app=a".to_owned()),
        ..PodsConfig::default()
    };
    let client = Client::new(service, "default");
    let _pods = Pods::start(client, config, Arc::new(Counters::new()));
    let query = asked.recv().await.unwrap();
    assert!(query.contains("labelSelector=app%3Da"), "{query}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_the_list_is_complete() {
    let (client, _) = scripted(Vec::new());
    let pods = start(client);
    let notes = Arc::new(Notes::default());
    pods.subscribe(Arc::clone(&notes) as Arc<dyn EndpointSink>);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(notes.take().is_empty());
    let waited = tokio::time::timeout(Duration::from_secs(10), pods.synced()).await;
    assert!(waited.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_a_broken_watch_showed_counts_for_a_while_and_then_is_unknown() {
    let server = Arc::new(Server::default());
    let pods = start(server.client(&[pod("a-1", "a")]));
    pods.synced().await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(pods.stale_for("ns"), None, "quiet is not broken");
    assert_eq!(server.lists(), 1, "{server:?}");
    server.fail(true);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(pods.stale_for("ns"), None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(pods.stale_for("ns").is_some());
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(pods.stale_for("ns").is_some());
    // The watch goes on, and nothing has changed: a list shows that.
    server.fail(false);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(pods.stale_for("ns"), None);
    assert_eq!(pods.replicas(&target("a").id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_soon_goes_on_is_never_stale() {
    let server = Arc::new(Server::default());
    let pods = start(server.client(&[pod("a-1", "a")]));
    pods.synced().await;
    server.fail(true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    server.fail(false);
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(pods.stale_for("ns"), None);
    }
    assert_eq!(server.lists(), 2, "{server:?}");
}
