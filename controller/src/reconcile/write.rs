//! The writes of the reconciler: conditional, so that a stale look changes nothing.

use http::{Method, Request};
use kube::Client;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::finalizer::Restore;
use crate::projection::ObjectKey;

/// Why an object is not as it should be yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    /// It changed since it was looked at.
    #[error("the object has changed meanwhile")]
    Changed,
    /// It cannot be read as JSON.
    #[error("the object cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// The API server refuses.
    #[error("{method} {path}: {source}")]
    Api {
        method: Method,
        path: String,
        source: Box<kube::Error>,
    },
}

pub(super) struct Writes(pub(super) Client);

impl Writes {
    /// A JSON Patch. One whose object is gone is done.
    pub(super) async fn json_patch(
        &self,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<(), ReconcileError> {
        let content = ("application/json-patch+json", patch);
        let outcome = self.send(Method::PATCH, &path(key), content).await;
        match outcome {
            Err(ReconcileError::Api { source, .. }) if is_code(&source, &[409, 422]) => {
                Err(ReconcileError::Changed)
            }
            outcome => unless_gone(outcome),
        }
    }

    /// Server-side apply.
    pub(super) async fn apply(
        &self,
        key: &ObjectKey,
        wanted: &Value,
    ) -> Result<(), ReconcileError> {
        let path = format!("{}?fieldManager=zeron&force=true", path(key));
        let content = ("application/apply-patch+yaml", wanted);
        self.send(Method::PATCH, &path, content).await
    }

    /// Deletes the object, unless it is another one of the same name by now.
    pub(super) async fn delete(&self, key: &ObjectKey, uid: &str) -> Result<(), ReconcileError> {
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": uid },
            "propagationPolicy": "Background",
        });
        let content = ("application/json", &options);
        let outcome = self.send(Method::DELETE, &path(key), content).await;
        match outcome {
            Err(ReconcileError::Api { source, .. }) if is_code(&source, &[409]) => Ok(()),
            outcome => unless_gone(outcome),
        }
    }

    /// Sets the list of owners.
    pub(super) async fn set_owners(
        &self,
        key: &ObjectKey,
        owners: &Value,
    ) -> Result<(), ReconcileError> {
        let patch = json!({ "metadata": { "ownerReferences": owners } });
        let content = ("application/merge-patch+json", &patch);
        unless_gone(self.send(Method::PATCH, &path(key), content).await)
    }

    /// Gives a target its replicas back. One that is gone needs none.
    pub(super) async fn restore(&self, restore: &Restore) -> Result<(), ReconcileError> {
        let path = format!("{}/scale", restore.path);
        let patch = json!({ "spec": { "replicas": restore.replicas } });
        let content = ("application/merge-patch+json", &patch);
        unless_gone(self.send(Method::PATCH, &path, content).await)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        (content_type, body): (&str, &Value),
    ) -> Result<(), ReconcileError> {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(body.to_string().into_bytes())
            .expect("names in paths of Kubernetes need no escape");
        let answer = self.0.request::<IgnoredAny>(request).await;
        answer.map(|_| ()).map_err(|source| ReconcileError::Api {
            method,
            path: path.to_owned(),
            source: Box::new(source),
        })
    }
}

fn is_code(error: &kube::Error, codes: &[u16]) -> bool {
    matches!(error, kube::Error::Api(status) if codes.contains(&status.code))
}

fn unless_gone(outcome: Result<(), ReconcileError>) -> Result<(), ReconcileError> {
    match outcome {
        Err(ReconcileError::Api { source, .. }) if is_code(&source, &[404]) => Ok(()),
        outcome => outcome,
    }
}

fn path(key: &ObjectKey) -> String {
    let (api_version, kind) = key.kind.api();
    let plural = format!("{}s", kind.to_lowercase());
    let name = &key.name;
    match key.namespace.is_empty() {
        true => format!("/apis/{api_version}/{plural}/{name}"),
        false => format!(
            "/apis/{api_version}/namespaces/{}/{plural}/{name}",
            key.namespace
        ),
    }
}
