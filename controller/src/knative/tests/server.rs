//! An API server in memory: lists, watches, creations, merge patches, and faults as told.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

type Answer = UnsyncBoxBody<Bytes, Infallible>;
/// Kind in the plural, namespace, name.
type Place = (String, String, String);

/// Objects and everything that happened to them.
#[derive(Debug)]
pub(super) struct Server {
    state: Mutex<State>,
    /// The version of the newest event.
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Place, Value>,
    events: Vec<(u64, String, Value)>,
    /// Writes, as `METHOD kind name`.
    writes: Vec<String>,
    faults: VecDeque<u16>,
}

impl Server {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            version: watch::Sender::new(1),
        })
    }

    pub(super) fn client(self: &Arc<Self>) -> Client {
        let own = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let own = Arc::clone(&own);
            async move { own.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// What the next writes are answered with, instead of being carried out; 0: never.
    pub(super) fn fail(&self, statuses: impl IntoIterator<Item = u16>) {
        self.state.lock().faults.extend(statuses);
    }

    /// All writes so far that were carried out or refused.
    pub(super) fn writes(&self) -> Vec<String> {
        self.state.lock().writes.clone()
    }

    pub(super) fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let place = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().objects.get(&place).cloned()
    }

    /// Somebody makes an object, or changes the fields that are given.
    pub(super) fn put(&self, kind: &str, namespace: &str, name: &str, fields: &Value) {
        let place = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        self.change(&place, fields);
    }

    pub(super) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let place = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let mut state = self.state.lock();
        if let Some(object) = state.objects.remove(&place) {
            self.tell(&mut state, &place.0, "DELETED", &object);
        }
    }

    fn tell(&self, state: &mut State, kind: &str, what: &str, object: &Value) {
        let version = *self.version.borrow() + 1;
        let event = json!({ "type": what, "object": object });
        state.events.push((version, kind.to_owned(), event));
        self.version.send_replace(version);
    }

    fn change(&self, place: &Place, fields: &Value) -> Value {
        let mut state = self.state.lock();
        let version = *self.version.borrow() + 1;
        let (_, namespace, name) = place;
        let fresh = json!({
            "metadata": {
                "namespace": namespace, "name": name, "generation": 0,
                "uid": format!("uid-{}-{name}", place.0),
            },
        });
        let is_new = !state.objects.contains_key(place);
        let object = state.objects.entry(place.clone()).or_insert(fresh);
        let spec = object.get("spec").cloned();
        merge(object, fields);
        if object.get("spec") != spec.as_ref() {
            let generation = object["metadata"]["generation"].as_i64().unwrap();
            object["metadata"]["generation"] = (generation + 1).into();
        }
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let object = object.clone();
        let what = if is_new { "ADDED" } else { "MODIFIED" };
        self.tell(&mut state, &place.0, what, &object);
        object
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Answer>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let parts: Vec<&str> = head.uri.path().split('/').collect();
        let (namespace, rest) = match parts.iter().position(|part| *part == "namespaces") {
            Some(at) => (Some(parts[at + 1]), &parts[at + 2..]),
            None => (None, &parts[parts.len() - 1..]),
        };
        let (kind, name) = (rest[0], rest.get(1).copied());
        let query = head.uri.query().unwrap_or_default();
        if head.method == Method::GET {
            return Ok(match query.contains("watch=true") {
                true => self.watch(kind, query),
                false => self.list(kind, namespace),
            });
        }
        let sent: Value = serde_json::from_slice(&body)?;
        let name = name
            .or(sent["metadata"]["name"].as_str())
            .unwrap()
            .to_owned();
        let place = (kind.to_owned(), namespace.unwrap().to_owned(), name);
        let is_status = rest.get(2) == Some(&"status");
        match self.write(&head.method, &place, is_status, sent) {
            Some(answer) => Ok(answer),
            None => std::future::pending().await,
        }
    }

    fn write(
        &self,
        method: &Method,
        place: &Place,
        is_status: bool,
        mut sent: Value,
    ) -> Option<Response<Answer>> {
        let (found, fault) = {
            let mut state = self.state.lock();
            let part = if is_status { "/status" } else { "" };
            let line = format!("{method} {}{part} {}", place.0, place.2);
            state.writes.push(line);
            let fault = state.faults.pop_front();
            (state.objects.get(place).cloned(), fault)
        };
        match fault {
            None => {}
            Some(0) => return None,
            Some(status) => return Some(refused(status)),
        }
        let version = match sent.pointer_mut("/metadata/resourceVersion") {
            Some(version) => version.take(),
            None => Value::Null,
        };
        Some(match (method, found) {
            (&Method::POST, Some(_)) => refused(409),
            (&Method::PATCH, None) => refused(404),
            (&Method::PATCH, Some(found))
                if !version.is_null() && version != found["metadata"]["resourceVersion"] =>
            {
                refused(409)
            }
            _ => {
                let only = if is_status { "status" } else { "spec" };
                if *method == Method::PATCH {
                    sent = json!({ only: sent[only] });
                }
                json_answer(200, &self.change(place, &sent))
            }
        })
    }

    fn list(&self, kind: &str, namespace: Option<&str>) -> Response<Answer> {
        let state = self.state.lock();
        let is_in =
            |place: &Place| place.0 == kind && namespace.is_none_or(|n| n == place.1.as_str());
        let items = state.objects.iter().filter(|(place, _)| is_in(place));
        let items: Vec<Value> = items.map(|(_, object)| object.clone()).collect();
        let version = self.version.borrow().to_string();
        let list = json!({
            "kind": "List", "apiVersion": "v1",
            "metadata": { "resourceVersion": version }, "items": items,
        });
        json_answer(200, &list)
    }

    /// Everything newer than the version that was listed, and what happens from then on.
    fn watch(self: &Arc<Self>, kind: &str, query: &str) -> Response<Answer> {
        let mut pairs = query.split('&');
        let from = pairs.find_map(|pair| pair.strip_prefix("resourceVersion="));
        let follow = Follow {
            server: Arc::clone(self),
            kind: kind.to_owned(),
            after: from.unwrap().parse().unwrap(),
            version: self.version.subscribe(),
        };
        let lines = stream::unfold(follow, |mut follow| async move {
            let line = follow.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(line)), follow))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

struct Follow {
    server: Arc<Server>,
    kind: String,
    after: u64,
    version: watch::Receiver<u64>,
}

impl Follow {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.version.borrow_and_update();
            let found = {
                let state = self.server.state.lock();
                let is_new = |(version, kind, _): &&(u64, String, Value)| {
                    *version > self.after && *kind == self.kind
                };
                let event = state.events.iter().find(is_new);
                event.map(|(version, _, event)| (*version, format!("{event}\n")))
            };
            if let Some((version, line)) = found {
                self.after = version;
                return Some(Bytes::from(line));
            }
            self.version.changed().await.ok()?;
        }
    }
}

fn json_answer(status: u16, value: &Value) -> Response<Answer> {
    let mut answer = Response::new(Full::from(value.to_string()).boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

fn refused(status: u16) -> Response<Answer> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
        "reason": "Refused", "message": "refused", "metadata": {},
    });
    json_answer(status, &body)
}

/// RFC 7396.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let map = value.as_object_mut().unwrap();
    for (name, inner) in patch {
        match inner {
            Value::Null => drop(map.remove(name)),
            inner => merge(map.entry(name.clone()).or_insert(Value::Null), inner),
        }
    }
}
