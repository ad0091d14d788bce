//! Writes a status through the API server.

use std::error::Error as _;

use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::projection::ObjectKey;

/// Where statuses go.
pub trait WriteStatus: Send + Sync + 'static {
    /// Applies a merge patch to the status subresource of an object; gives the status as it is stored then.
    fn write(
        &self,
        object: &ObjectKey,
        patch: &Value,
    ) -> impl Future<Output = Result<Value, StatusError>> + Send;

    /// The status as [`write`](Self::write) would leave it. Changes nothing.
    fn try_out(
        &self,
        object: &ObjectKey,
        patch: &Value,
    ) -> impl Future<Output = Result<Value, StatusError>> + Send;
}

/// A status was not written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The object, or its kind, is gone.
    #[error("the object is gone")]
    Gone,
    /// The API server finds the status invalid.
    #[error("the API server finds it invalid: {0}")]
    Invalid(String),
    /// It did not work now.
    #[error("the API server did not take it{}", cause(.0))]
    Failed(#[source] Box<kube::Error>),
}

fn cause(error: &kube::Error) -> String {
    let source = error.source().map(|s| format!(": {s}"));
    format!(": {error}{}", source.unwrap_or_default())
}

impl StatusError {
    /// Whether trying again is of no use.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Gone | Self::Invalid(_) => true,
            Self::Failed(_) => false,
        }
    }

    fn of(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 => Self::Gone,
            kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
                Self::Invalid(status.message.clone())
            }
            _ => Self::Failed(Box::new(error)),
        }
    }
}

/// What is read of an object that was written.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    status: Value,
}

/// Writes through a client.
#[derive(Clone)]
pub(super) struct KubeWriter(pub(super) Client);

impl WriteStatus for KubeWriter {
    async fn write(&self, object: &ObjectKey, patch: &Value) -> Result<Value, StatusError> {
        self.send(&path(object), patch).await
    }

    async fn try_out(&self, object: &ObjectKey, patch: &Value) -> Result<Value, StatusError> {
        self.send(&format!("{}&dryRun=All", path(object)), patch)
            .await
    }
}

impl KubeWriter {
    async fn send(&self, path: &str, patch: &Value) -> Result<Value, StatusError> {
        let request = http::Request::patch(path)
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .expect("names in paths of Kubernetes need no escape");
        let answer = self.0.request::<Stored>(request).await;
        answer.map(|it| it.status).map_err(StatusError::of)
    }
}

fn path(object: &ObjectKey) -> String {
    let (api_version, kind) = object.kind.api();
    let plural = format!("{}s", kind.to_lowercase());
    let (namespace, name) = (&object.namespace, &object.name);
    format!("/apis/{api_version}/namespaces/{namespace}/{plural}/{name}/status?fieldManager=zeron")
}
