//! An API server that knows Leases only, and can be cut off from one client.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::record::LeaseObject;

type AnyBody = UnsyncBoxBody<Bytes, tower::BoxError>;

/// Keeps Leases with optimistic locking.
#[derive(Debug, Default)]
pub(crate) struct FakeLeases {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, LeaseObject>,
    version: u64,
    cut_off: HashSet<String>,
    /// Their next question for a single Lease is never answered.
    unanswered: HashSet<String>,
    /// Their watches show nothing.
    stalled: HashSet<String>,
    /// Changes by their versions.
    events: Vec<(u64, Value)>,
    watches: Vec<(String, mpsc::Sender<Value>)>,
    /// Who asked, `METHOD name`.
    calls: Vec<(String, String)>,
}

impl FakeLeases {
    /// A client that can be cut off by its name.
    pub(crate) fn client(self: &Arc<Self>, who: &str) -> Client {
        let (own, who) = (Arc::clone(self), who.to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (own, who) = (Arc::clone(&own), who.clone());
            async move {
                if own.state.lock().cut_off.contains(&who) {
                    return Err(tower::BoxError::from("no route to host"));
                }
                let is_watch = request.uri().query().unwrap_or_default().contains("watch");
                let is_asked = request.uri().path().contains("/leases/") && !is_watch;
                if is_asked && own.take_unanswered(&who) {
                    return std::future::pending().await;
                }
                own.answer(&who, request).await
            }
        });
        Client::new(service, "default")
    }

    pub(crate) fn cut_off(&self, who: &str, is_cut_off: bool) {
        let mut state = self.state.lock();
        match is_cut_off {
            true => state.cut_off.insert(who.to_owned()),
            false => state.cut_off.remove(who),
        };
        state.watches.retain(|(other, _)| other != who);
    }

    /// The next question of `who` for a single Lease is never answered.
    pub(crate) fn answer_not(&self, who: &str) {
        self.state.lock().unanswered.insert(who.to_owned());
    }

    fn take_unanswered(&self, who: &str) -> bool {
        self.state.lock().unanswered.remove(who)
    }

    /// Watches of `who` show nothing, though they stay open.
    pub(crate) fn stall(&self, who: &str) {
        self.state.lock().stalled.insert(who.to_owned());
    }

    /// Ends all watches as expired.
    pub(crate) fn expire(&self) {
        let status = json!({"kind": "Status", "status": "Failure", "code": 410,
                            "reason": "Expired", "message": "too old resource version"});
        let event = json!({"type": "ERROR", "object": status});
        for (_, watch) in self.state.lock().watches.drain(..) {
            // It may have ended.
            watch.try_send(event.clone()).ok();
        }
    }

    /// What `who` asked, but for watches.
    pub(crate) fn calls(&self, who: &str) -> Vec<String> {
        let state = self.state.lock();
        let own = state.calls.iter().filter(|(other, _)| other == who);
        own.map(|(_, call)| call.clone()).collect()
    }

    /// Somebody removes it.
    pub(crate) fn remove(&self, name: &str) {
        self.state.lock().delete(name);
    }

    /// A renewal of its holder arrives that was not waited for.
    pub(crate) fn renew(&self, name: &str) {
        let mut state = self.state.lock();
        let object = state.objects.get(name).cloned();
        state.store(object.expect("a lease"), false);
    }

    pub(crate) fn get(&self, name: &str) -> Option<LeaseObject> {
        self.state.lock().objects.get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }

    async fn answer(
        &self,
        who: &str,
        request: Request<Body>,
    ) -> Result<Response<AnyBody>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let last = head.uri.path().rsplit('/').next().unwrap_or_default();
        let name = Some(last).filter(|name| *name != "leases");
        let query = head.uri.query().unwrap_or_default();
        let mut state = self.state.lock();
        if query.contains("watch=true") {
            let from = query
                .split('&')
                .find_map(|it| it.strip_prefix("resourceVersion="));
            return Ok(state.watch(who, from.unwrap_or_default().parse()?));
        }
        let call = format!("{} {}", head.method, name.unwrap_or("all"));
        state.calls.push((who.to_owned(), call));
        Ok(match (head.method, name) {
            (Method::GET, None) => {
                let items: Vec<_> = state.objects.values().collect();
                let version = state.version.to_string();
                answer(
                    200,
                    &json!({ "metadata": {"resourceVersion": version}, "items": items }),
                )
            }
            (Method::GET, Some(name)) => match state.objects.get(name) {
                Some(object) => answer(200, &json!(object)),
                None => answer(404, &json!({})),
            },
            (Method::DELETE, Some(name)) => match state.delete(name) {
                true => answer(200, &json!({})),
                false => answer(404, &json!({})),
            },
            (Method::POST, None) => state.store(serde_json::from_slice(&body)?, true),
            (Method::PUT, Some(_)) => state.store(serde_json::from_slice(&body)?, false),
            _ => answer(405, &json!({})),
        })
    }
}

impl State {
    fn watch(&mut self, who: &str, from: u64) -> Response<AnyBody> {
        let (sender, receiver) = mpsc::channel(4_096);
        if !self.stalled.contains(who) {
            for (_, event) in self.events.iter().filter(|(version, _)| *version > from) {
                sender.try_send(event.clone()).expect("room");
            }
        }
        self.watches.push((who.to_owned(), sender));
        let lines = stream::unfold(receiver, |mut receiver| async move {
            let event: Value = receiver.recv().await?;
            let frame = http_body::Frame::data(Bytes::from(format!("{event}\n")));
            Some((Ok::<_, tower::BoxError>(frame), receiver))
        });
        Response::new(StreamBody::new(lines.boxed()).boxed_unsync())
    }

    fn show(&mut self, kind: &str, object: &LeaseObject) {
        let event = json!({"type": kind, "object": object});
        let stalled = &self.stalled;
        self.watches
            .retain(|(who, watch)| stalled.contains(who) || watch.try_send(event.clone()).is_ok());
        self.events.push((self.version, event));
    }

    fn delete(&mut self, name: &str) -> bool {
        let Some(mut object) = self.objects.remove(name) else {
            return false;
        };
        self.version += 1;
        object.metadata.resource_version = Some(self.version.to_string());
        self.show("DELETED", &object);
        true
    }

    fn store(&mut self, mut object: LeaseObject, is_new: bool) -> Response<AnyBody> {
        let name = object.metadata.name.clone();
        let old = self.objects.get(&name);
        let version = old.and_then(|old| old.metadata.resource_version.clone());
        if is_new == old.is_some() || (!is_new && version != object.metadata.resource_version) {
            return answer(409, &json!({"reason": "Conflict"}));
        }
        self.version += 1;
        object.metadata.resource_version = Some(self.version.to_string());
        self.show(if is_new { "ADDED" } else { "MODIFIED" }, &object);
        let body = json!(object);
        self.objects.insert(name, object);
        answer(200, &body)
    }
}

fn answer(status: u16, body: &Value) -> Response<AnyBody> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}
