//! Writes ServerlessServices and Metrics. Each write is conditional: a stale look changes nothing.

use std::time::Duration;

use http::{Method, Request};
use kube::Client;
use kube::core::Status;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use zeron_frontend_knative::autoscaling::{Change, Child};

use super::kind::{Key, Kind};
use crate::follow::raw::Raw;

/// For one write with its answer.
const PATIENCE: Duration = Duration::from_secs(10);
const MANAGER: &str = "fieldManager=zeron";

/// A child is not as it should be yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    /// It changed since it was looked at, somebody made it, or its namespace is being deleted.
    #[error("the object has changed meanwhile")]
    Changed,
    /// The API server refused, or is away.
    #[error("{method} {path}")]
    Api {
        method: Method,
        path: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time. The write may have happened.
    #[error("{method} {path}: no answer within {PATIENCE:?}")]
    Timeout { method: Method, path: String },
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub(super) kind: Kind,
    pub(super) method: Method,
    path: String,
    body: Value,
}

impl Write {
    /// What makes a change; `None`: nothing has to be written.
    pub(super) fn of<C: Child + Serialize>(
        kind: Kind,
        key: &Key,
        change: &Change<C>,
    ) -> Option<Self> {
        let resource = kind.resource();
        let (api_version, plural) = (&resource.api_version, &resource.plural);
        let all = format!("/apis/{api_version}/namespaces/{}/{plural}", key.namespace);
        match change {
            Change::Nothing | Change::NotOwned => None,
            Change::Create(child) => {
                let mut body = serde_json::to_value(child).expect("our own values have text keys");
                body["apiVersion"] = api_version.as_str().into();
                body["kind"] = resource.kind.as_str().into();
                Some(Self {
                    kind,
                    method: Method::POST,
                    path: format!("{all}?{MANAGER}"),
                    body,
                })
            }
            Change::Update {
                resource_version,
                spec,
            } => Some(Self {
                kind,
                method: Method::PATCH,
                path: format!("{all}/{}?{MANAGER}", key.name),
                // Only what is ours to say: fields that nobody here knows stay.
                body: json!({
                    "metadata": { "resourceVersion": resource_version },
                    "spec": spec,
                }),
            }),
        }
    }

    fn request(&self) -> Request<Vec<u8>> {
        let content = match self.method == Method::PATCH {
            true => "application/merge-patch+json",
            false => "application/json",
        };
        Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(http::header::CONTENT_TYPE, content)
            .body(self.body.to_string().into_bytes())
            .expect("names in paths of Kubernetes need no escape")
    }
}

/// The API server.
#[derive(Clone)]
pub(super) struct Children(Client);

impl Children {
    pub(super) fn new(client: Client) -> Self {
        Self(client)
    }

    /// Writes; returns the object as it is now.
    pub(super) async fn write(&self, write: &Write) -> Result<Value, ChildError> {
        let answer = timeout(PATIENCE, self.0.request::<Raw>(write.request())).await;
        let (method, path) = (write.method.clone(), write.path.clone());
        match answer {
            Ok(Ok(object)) => Ok(object.value),
            Ok(Err(kube::Error::Api(status))) if is_stale(&status) => Err(ChildError::Changed),
            Ok(Err(source)) => Err(ChildError::Api {
                method,
                path,
                source: Box::new(source),
            }),
            Err(_) => Err(ChildError::Timeout { method, path }),
        }
    }
}

/// Whether what was looked at is not so any more.
fn is_stale(status: &Status) -> bool {
    let details = status.details.iter();
    let mut causes = details.flat_map(|details| &details.causes);
    matches!(status.code, 404 | 409) || causes.any(|cause| cause.reason == "NamespaceTerminating")
}
