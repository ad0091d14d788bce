//! An API server that knows Leases only, and can be cut off from one client.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;

use super::record::LeaseObject;

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
                own.answer(request).await
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
    }

    pub(crate) fn get(&self, name: &str) -> Option<LeaseObject> {
        self.state.lock().objects.get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let last = head.uri.path().rsplit('/').next().unwrap_or_default();
        let name = Some(last).filter(|name| *name != "leases");
        let mut state = self.state.lock();
        Ok(match (head.method, name) {
            (Method::GET, None) => {
                let items: Vec<_> = state.objects.values().collect();
                answer(200, &json!({ "items": items }))
            }
            (Method::GET, Some(name)) => match state.objects.get(name) {
                Some(object) => answer(200, &json!(object)),
                None => answer(404, &json!({})),
            },
            (Method::DELETE, Some(name)) => match state.objects.remove(name) {
                Some(_) => answer(200, &json!({})),
                None => answer(404, &json!({})),
            },
            (Method::POST, None) => state.store(serde_json::from_slice(&body)?, true),
            (Method::PUT, Some(_)) => state.store(serde_json::from_slice(&body)?, false),
            _ => answer(405, &json!({})),
        })
    }
}

impl State {
    fn store(&mut self, mut object: LeaseObject, is_new: bool) -> Response<Body> {
        let name = object.metadata.name.clone();
        let old = self.objects.get(&name);
        let version = old.and_then(|old| old.metadata.resource_version.clone());
        if is_new == old.is_some() || (!is_new && version != object.metadata.resource_version) {
            return answer(409, &json!({"reason": "Conflict"}));
        }
        self.version += 1;
        object.metadata.resource_version = Some(self.version.to_string());
        let body = json!(object);
        self.objects.insert(name, object);
        answer(200, &body)
    }
}

fn answer(status: u16, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}
