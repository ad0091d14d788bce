//! What tests of this folder share: targets, and an API server that knows scales only.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use zeron_core::FunctionId;

use crate::target::{LabelSelector, ScaleTarget, TargetPort};

/// A Deployment of the namespace `ns`, at zero.
pub(crate) fn target(name: &str) -> ScaleTarget {
    ScaleTarget {
        id: FunctionId::new("ns", "Deployment", name),
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        plural: "deployments".into(),
        name: name.into(),
        namespace: "ns".into(),
        uid: Some(format!("uid-{name}").into()),
        resource_version: Some("1".into()),
        selector: Arc::new(LabelSelector::from_labels([("app", name)])),
        replicas: Some(0),
        port: TargetPort::First,
        failure: None,
        is_deleting: false,
    }
}

/// Keeps counts as the API server does, and fails as it is told.
#[derive(Debug, Default)]
pub(crate) struct FakeScales {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Count and version by name.
    objects: HashMap<String, (u32, u64)>,
    /// `METHOD name`, in their order.
    log: Vec<String>,
    faults: VecDeque<Fault>,
}

/// What happens to the next request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    Pass,
    /// This status, with `Retry-After` if given.
    Status(u16, Option<u64>),
    /// The connection breaks.
    Broken,
    /// Nothing, but only after so long.
    Slow(std::time::Duration),
    /// No answer ever.
    Hung,
    /// It is carried out, but the answer is lost.
    AnswerLost,
}

impl FakeScales {
    pub(crate) fn client(self: &Arc<Self>) -> Client {
        let own = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let own = Arc::clone(&own);
            async move { own.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// Somebody else writes.
    pub(crate) fn set(&self, name: &str, count: u32) {
        let mut state = self.state.lock();
        let object = state.objects.entry(name.to_owned()).or_default();
        *object = (count, object.1 + 10);
    }

    pub(crate) fn count(&self, name: &str) -> Option<u32> {
        self.state.lock().objects.get(name).map(|(count, _)| *count)
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().faults.extend(faults);
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().log.clone()
    }

    /// Writes so far.
    pub(crate) fn patches(&self) -> usize {
        let is_patch = |line: &&String| line.starts_with("PATCH");
        self.state.lock().log.iter().filter(is_patch).count()
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let parts: Vec<&str> = head.uri.path().split('/').collect();
        let is_scale = parts.last() == Some(&"scale");
        let name = parts[parts.len() - 1 - usize::from(is_scale)].to_owned();
        let fault = {
            let mut state = self.state.lock();
            let line = match is_scale {
                true => format!("{} {name}", head.method),
                false => format!("{} {}", head.method, parts[parts.len() - 2..].join("/")),
            };
            state.log.push(line);
            state.faults.pop_front()
        };
        let is_lost = match fault {
            None | Some(Fault::Pass) => false,
            Some(Fault::AnswerLost) => true,
            Some(Fault::Status(status, after)) => return Ok(refused(status, after)),
            Some(Fault::Broken) => return Err("connection reset by peer".into()),
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                false
            }
            Some(Fault::Hung) => std::future::pending().await,
        };
        let answer = match is_scale {
            true => self.scale(&head.method, &name, &body),
            false => json_response(&json!({})),
        };
        match is_lost {
            true => Err("connection reset by peer".into()),
            false => Ok(answer),
        }
    }

    fn scale(&self, method: &Method, name: &str, body: &[u8]) -> Response<Body> {
        let mut state = self.state.lock();
        let Some(object) = state.objects.get_mut(name) else {
            return refused(404, None);
        };
        if *method == Method::PATCH {
            let shown = show(name, *object);
            let patch: Vec<Value> = serde_json::from_slice(body).expect("a patch");
            for operation in &patch {
                let path = operation["path"].as_str().expect("a path");
                match operation["op"].as_str() {
                    Some("test") if shown.pointer(path) != Some(&operation["value"]) => {
                        return refused(422, None);
                    }
                    Some("test") => {}
                    _ => {
                        let count = operation["value"].as_u64().expect("a count");
                        object.0 = u32::try_from(count).expect("a count");
                        object.1 += 1;
                    }
                }
            }
        }
        json_response(&show(name, *object))
    }
}

fn show(name: &str, (count, version): (u32, u64)) -> Value {
    let spec = match count {
        0 => json!({}),
        count => json!({"replicas": count}),
    };
    json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"),
                     "resourceVersion": version.to_string()},
        "spec": spec,
    })
}

fn json_response(value: &Value) -> Response<Body> {
    Response::new(Body::from(value.to_string().into_bytes()))
}

fn refused(status: u16, after: Option<u64>) -> Response<Body> {
    let body = json!({"kind": "Status", "reason": "Told", "message": "as told", "code": status});
    let mut response = json_response(&body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    if let Some(after) = after {
        response.headers_mut().insert("retry-after", after.into());
    }
    response
}
