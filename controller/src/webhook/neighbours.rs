//! What else there is in an object's namespace, as its rules need it.

use std::time::Duration;

use futures_util::future::try_join4;
use kube::Client;
use serde_json::Value;

/// Other objects that a ScaledObject may clash with, or that it needs.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    /// ScaledObjects of the namespace.
    pub scaled_objects: Vec<Value>,
    /// HorizontalPodAutoscalers of the namespace.
    pub autoscalers: Vec<Value>,
    /// The Deployment or StatefulSet that it scales, where it scales by cpu or memory.
    pub target: Option<Value>,
    /// LimitRanges of the namespace, where it scales by cpu or memory.
    pub limits: Vec<Value>,
}

/// The neighbours are not known in time.
#[derive(Debug, thiserror::Error)]
#[error("not checked against other objects of the namespace: {0}")]
pub struct Unknown(String);

impl Unknown {
    /// With the reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Finds neighbours.
pub trait LookUp: Send + Sync + 'static {
    /// Those of `object` in `namespace`.
    fn neighbours(
        &self,
        namespace: &str,
        object: &Value,
    ) -> impl Future<Output = Result<Neighbours, Unknown>> + Send;
}

/// Asks the API server, whose watch cache answers.
#[derive(Clone)]
pub(super) struct Live {
    client: Client,
    timeout: Duration,
}

impl Live {
    /// Answers within half of `timeout`.
    pub(super) fn new(client: Client, timeout: Duration) -> Self {
        Self {
            client,
            timeout: timeout / 2,
        }
    }

    async fn list(&self, path: Option<String>) -> Result<Vec<Value>, kube::Error> {
        let Some(path) = path else {
            return Ok(Vec::new());
        };
        let list = self.get(format!("{path}?resourceVersion=0")).await?;
        Ok(match list.map(|mut list| list["items"].take()) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        })
    }

    /// `None`: there is no such object.
    async fn get(&self, path: String) -> Result<Option<Value>, kube::Error> {
        let request = http::Request::get(path)
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn target(&self, path: Option<String>) -> Result<Option<Value>, kube::Error> {
        match path {
            Some(path) => self.get(path).await,
            None => Ok(None),
        }
    }
}

impl LookUp for Live {
    async fn neighbours(&self, namespace: &str, object: &Value) -> Result<Neighbours, Unknown> {
        let all = |group: &str, plural: &str| format!("/{group}/namespaces/{namespace}/{plural}");
        let is_by_resource = super::rules::has_resource_trigger(object);
        let limits = is_by_resource.then(|| all("api/v1", "limitranges"));
        let work = try_join4(
            self.list(Some(all("apis/keda.sh/v1alpha1", "scaledobjects"))),
            self.list(Some(all("apis/autoscaling/v2", "horizontalpodautoscalers"))),
            self.target(target_path(namespace, object).filter(|_| is_by_resource)),
            self.list(limits),
        );
        let found = tokio::time::timeout(self.timeout, work).await;
        let found =
            found.map_err(|_| Unknown("the API server did not answer in time".to_owned()))?;
        let (scaled_objects, autoscalers, target, limits) =
            found.map_err(|error| Unknown(error.to_string()))?;
        Ok(Neighbours {
            scaled_objects,
            autoscalers,
            target,
            limits,
        })
    }
}

/// The path of the target, where it is a kind whose pods are known.
fn target_path(namespace: &str, object: &Value) -> Option<String> {
    let target = super::rules::Target::of(&object["spec"]["scaleTargetRef"]);
    let plural = match (target.group, target.kind) {
        ("apps", "Deployment") => "deployments",
        ("apps", "StatefulSet") => "statefulsets",
        _ => return None,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    let name = Some(target.name).filter(|n| !n.is_empty() && n.chars().all(is_name))?;
    Some(format!(
        "/apis/apps/v1/namespaces/{namespace}/{plural}/{name}"
    ))
}
