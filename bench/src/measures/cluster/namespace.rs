//! A namespace of the bench's own, deleted at the end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::api::Api;
use crate::bench::note;

/// Requests in flight when many objects are made.
const PARALLEL: usize = 16;
/// Until objects are as asked for.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which collection of the API an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Deployment,
    Service,
    HttpScaledObject,
    ScaledObject,
    Pod,
    Configuration,
    Revision,
    Endpoints,
}

impl Kind {
    const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployment => ("apis/apps/v1", "deployments"),
            Self::Service => ("api/v1", "services"),
            Self::HttpScaledObject => ("apis/http.keda.sh/v1alpha1", "httpscaledobjects"),
            Self::ScaledObject => ("apis/keda.sh/v1alpha1", "scaledobjects"),
            Self::Pod => ("api/v1", "pods"),
            Self::Configuration => ("apis/serving.knative.dev/v1", "configurations"),
            Self::Endpoints => ("api/v1", "endpoints"),
            Self::Revision => ("apis/serving.knative.dev/v1", "revisions"),
        }
    }
}

/// A namespace that is deleted with this value.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    api: Api,
}

impl Namespace {
    /// Makes `bench-<what>-<process>-<number>`.
    pub(crate) fn create(api: &Api, what: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench-{what}-{}-{number}", std::process::id());
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name.clone()}});
        api.block_on(api.create("/api/v1/namespaces", &object))?;
        Ok(Self {
            name,
            api: api.clone(),
        })
    }

    /// The collection of a kind.
    pub(crate) fn path(&self, kind: Kind) -> String {
        let (group, plural) = kind.parts();
        format!("/{group}/namespaces/{}/{plural}", self.name)
    }

    /// Creates many objects.
    pub(crate) fn create_all(&self, objects: Vec<(Kind, Value)>) -> Result<()> {
        let made = stream::iter(objects)
            .map(|(kind, object)| async move { self.api.create(&self.path(kind), &object).await })
            .buffer_unordered(PARALLEL)
            .try_for_each(|_| std::future::ready(Ok(())));
        self.api.block_on(made)
    }

    /// Waits until at least `count` objects of a kind are as `is_well` says.
    pub(crate) fn wait_for_all(
        &self,
        kind: Kind,
        what: &str,
        count: usize,
        is_well: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let enough = |list: &Value| {
            let items = list["items"].as_array()?;
            (items.iter().filter(|it| is_well(it)).count() >= count).then_some(())
        };
        let path = self.path(kind);
        self.api
            .block_on(self.api.wait(&path, what, PATIENCE, enough))
    }

    /// Deletes all objects of some kinds, and waits until no pod is left.
    pub(crate) fn delete_all(&self, kinds: &[Kind]) -> Result<()> {
        self.api.block_on(async {
            for &kind in kinds {
                self.api.delete(&self.path(kind)).await?;
            }
            self.none_left(Kind::Pod, PATIENCE).await
        })
    }

    /// Waits until no object of a kind is left.
    pub(crate) async fn none_left(&self, kind: Kind, within: Duration) -> Result<()> {
        let (path, what) = (self.path(kind), format!("{} are gone", kind.parts().1));
        let none = |list: &Value| list["items"].as_array()?.is_empty().then_some(());
        self.api.wait(&path, &what, within, none).await
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let path = format!("/api/v1/namespaces/{}", self.name);
        if let Err(error) = self.api.block_on(self.api.delete(&path)) {
            note(format_args!(
                "namespace {} is left behind: {error:#}",
                self.name
            ));
        }
    }
}

/// Whether the condition `Ready` is true.
pub(crate) fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter()
            .any(|it| it["type"] == "Ready" && it["status"] == "True")
    })
}
