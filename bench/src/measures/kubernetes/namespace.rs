//! A namespace of the bench's own, deleted at the end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::api::Api;
use super::objects;
use crate::bench::note;

/// Requests in flight when many objects are made.
const PARALLEL: usize = 16;
/// Until objects are as asked for.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which collection of the API an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    Service,
    HttpScaledObject,
    ScaledObject,
    Pod,
}

impl Kind {
    const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployment => ("apis/apps/v1", "deployments"),
            Self::Service => ("api/v1", "services"),
            Self::HttpScaledObject => ("apis/http.keda.sh/v1alpha1", "httpscaledobjects"),
            Self::ScaledObject => ("apis/keda.sh/v1alpha1", "scaledobjects"),
            Self::Pod => ("api/v1", "pods"),
        }
    }
}

/// A namespace that is deleted with this value.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) name: String,
    api: Api,
}

impl Namespace {
    /// Makes `bench-<what>-<process>-<number>`.
    pub(super) fn create(api: &Api, what: &str) -> Result<Self> {
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
    pub(super) fn path(&self, kind: Kind) -> String {
        let (group, plural) = kind.parts();
        format!("/{group}/namespaces/{}/{plural}", self.name)
    }

    /// Creates many objects.
    pub(super) fn create_all(&self, objects: Vec<(Kind, Value)>) -> Result<()> {
        let made = stream::iter(objects)
            .map(|(kind, object)| async move { self.api.create(&self.path(kind), &object).await })
            .buffer_unordered(PARALLEL)
            .try_for_each(|_| std::future::ready(Ok(())));
        self.api.block_on(made)
    }

    /// Makes Deployments at zero, and waits until their controller has seen them.
    pub(super) fn deploy(&self, names: &[String], image: &str) -> Result<()> {
        let objects = names
            .iter()
            .map(|name| (Kind::Deployment, objects::deployment(name, image)))
            .collect();
        self.create_all(objects)?;
        self.wait_for_all(
            Kind::Deployment,
            "Deployments are seen",
            names.len(),
            |object| object["status"]["observedGeneration"].is_u64(),
        )
    }

    /// Declares functions over Deployments, and waits until they are said to be ready.
    pub(super) fn declare(&self, names: &[String]) -> Result<()> {
        let services = names
            .iter()
            .map(|name| (Kind::Service, objects::service(name)));
        let objects = names
            .iter()
            .map(|name| (Kind::HttpScaledObject, objects::http_scaled_object(name)));
        self.create_all(services.chain(objects).collect())?;
        self.wait_for_all(
            Kind::HttpScaledObject,
            "functions are ready",
            names.len(),
            is_ready,
        )
    }

    /// Waits until at least `count` objects of a kind are as `is_well` says.
    pub(super) fn wait_for_all(
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

    /// Deletes everything that runs or scales, and waits until no pod is left.
    pub(super) fn clear(&self) -> Result<()> {
        self.api.block_on(async {
            for kind in [
                Kind::HttpScaledObject,
                Kind::ScaledObject,
                Kind::Deployment,
                Kind::Pod,
            ] {
                self.api.delete(&self.path(kind)).await?;
            }
            self.delete_services().await?;
            let pods = self.path(Kind::Pod);
            let none = |list: &Value| list["items"].as_array()?.is_empty().then_some(());
            self.api.wait(&pods, "pods are gone", PATIENCE, none).await
        })
    }

    async fn delete_services(&self) -> Result<()> {
        self.api.delete(&self.path(Kind::Service)).await
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
pub(super) fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter()
            .any(|it| it["type"] == "Ready" && it["status"] == "True")
    })
}
