#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use zeron_core::EndpointSnapshot;

use super::*;
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
