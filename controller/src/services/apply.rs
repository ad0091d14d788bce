//! Makes the writes that were decided. Each may be made again.

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use thiserror::Error;

use super::annotations::{self, PORTS, SELECTOR, STATUS};
use super::observed::Observed;
use super::plan::Step;
use super::slices::{MANAGED_BY, MANAGED_BY_LABEL, SERVICE_LABEL, is_ours, is_platform, is_same};
use super::watched::WatchedService;

const FIELD_MANAGER: &str = "zeron-services";

/// A Service could not be led where it should be.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// It changed meanwhile. Normal: it is read and decided again.
    #[error("the Service {namespace}/{name} changed meanwhile")]
    Changed {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Somebody else did not do their part in time.
    #[error(
        "the platform has written no EndpointSlices of Service {namespace}/{name} for {patience:?}"
    )]
    Waiting {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// How long was waited.
        patience: std::time::Duration,
    },
    /// The API server refused or was away.
    #[error("cannot {action} of Service {namespace}/{name}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
}

/// EndpointSlices of one namespace's Services.
#[derive(Clone)]
pub struct SliceApi {
    client: Client,
}

impl std::fmt::Debug for SliceApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SliceApi").finish_non_exhaustive()
    }
}

impl SliceApi {
    /// By this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    fn slices(&self, namespace: &str) -> Api<EndpointSlice> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn services(&self, namespace: &str) -> Api<WatchedService> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// All slices of a Service, whosever they are.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn list(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<EndpointSlice>, kube::Error> {
        let of_service = ListParams::default().labels(&format!("{SERVICE_LABEL}={name}"));
        Ok(self.slices(namespace).list(&of_service).await?.items)
    }

    /// Makes the slices of ours of a Service exactly these.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn write(
        &self,
        namespace: &str,
        name: &str,
        wanted: &[EndpointSlice],
    ) -> Result<(), kube::Error> {
        let api = self.slices(namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        for slice in wanted {
            let slice_name = slice.metadata.name.as_deref().unwrap_or_default();
            api.patch(slice_name, &params, &Patch::Apply(slice)).await?;
        }
        let ours = format!("{SERVICE_LABEL}={name},{MANAGED_BY_LABEL}={MANAGED_BY}");
        let found = api.list(&ListParams::default().labels(&ours)).await?.items;
        let is_wanted = |name: &String| {
            wanted
                .iter()
                .any(|w| w.metadata.name.as_ref() == Some(name))
        };
        let names = found.into_iter().filter_map(|slice| slice.metadata.name);
        let surplus: Vec<String> = names.filter(|name| !is_wanted(name)).collect();
        self.delete(namespace, &surplus).await
    }

    /// Leads callers of a Service without selector to `wanted` alone: writes only what differs, then
    /// drops what led to pods.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn lead(
        &self,
        namespace: &str,
        name: &str,
        wanted: &[EndpointSlice],
    ) -> Result<(), kube::Error> {
        let found = self.list(namespace, name).await?;
        let (ours, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_ours);
        let is_written = |w: &EndpointSlice| ours.iter().any(|f| is_same(f, w));
        if ours.len() != wanted.len() || !wanted.iter().all(is_written) {
            self.write(namespace, name, wanted).await?;
        }
        let platform = names(others.iter().filter(|slice| is_platform(slice)));
        match platform.is_empty() || wanted.iter().all(|w| w.endpoints.is_empty()) {
            true => Ok(()),
            false => self.drop_platform(namespace, name, &platform).await,
        }
    }

    /// Deletes our slices of a Service that has a selector again, once the platform's are there.
    /// Says whether there were any.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn unlead(&self, namespace: &str, name: &str) -> Result<bool, kube::Error> {
        let found = self.list(namespace, name).await?;
        let ours = names(found.iter().filter(|slice| is_ours(slice)));
        if ours.is_empty() || !found.iter().any(is_platform) {
            return Ok(false);
        }
        self.delete(namespace, &ours).await?;
        Ok(true)
    }

    /// Deletes slices. Those that are gone already are no error.
    ///
    /// # Errors
    /// As the API server says.
    pub async fn delete(&self, namespace: &str, names: &[String]) -> Result<(), kube::Error> {
        let api = self.slices(namespace);
        for name in names {
            unless_missing(api.delete(name, &DeleteParams::default()).await)?;
        }
        Ok(())
    }

    /// Deletes the Endpoints of a Service: without a selector nobody keeps them up, and the platform
    /// would make slices of them.
    async fn delete_endpoints(&self, namespace: &str, name: &str) -> Result<(), kube::Error> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), namespace);
        unless_missing(api.delete(name, &DeleteParams::default()).await)
    }

    pub(super) async fn perform(&self, seen: &Observed, step: &Step) -> Result<(), ServiceError> {
        let (namespace, name) = (seen.namespace.as_str(), seen.name.as_str());
        let (action, outcome) = match step {
            Step::WriteSlices(wanted) => {
                let outcome = self.write(namespace, name, wanted).await;
                ("write the EndpointSlices", outcome)
            }
            Step::DropSlices(names) => {
                let outcome = self.delete(namespace, names).await;
                ("delete the EndpointSlices", outcome)
            }
            Step::DropPlatformSlices(names) => {
                let outcome = self.drop_platform(namespace, name, names).await;
                ("delete the former endpoints", outcome)
            }
            Step::Allot(_)
            | Step::TakeSelector
            | Step::GiveSelector
            | Step::Unmark
            | Step::Say(_) => {
                let outcome = self.change(seen, change(seen, step)).await;
                ("change the annotations and the selector", outcome)
            }
        };
        outcome.map_err(|source| failure(seen, action, source))
    }

    /// Endpoints first: with the slices gone nothing would say any more that they are still there.
    async fn drop_platform(
        &self,
        namespace: &str,
        name: &str,
        slices: &[String],
    ) -> Result<(), kube::Error> {
        self.delete_endpoints(namespace, name).await?;
        self.delete(namespace, slices).await
    }

    /// Only on the version that was decided on.
    async fn change(&self, seen: &Observed, mut change: Value) -> Result<(), kube::Error> {
        change["metadata"]["resourceVersion"] = json!(seen.version);
        change["metadata"]["uid"] = json!(seen.uid);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.services(&seen.namespace);
        api.patch(&seen.name, &params, &Patch::Merge(&change))
            .await?;
        Ok(())
    }

    /// The Service as it is now; `None`: gone.
    pub(super) async fn service(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<WatchedService>, kube::Error> {
        self.services(namespace).get_opt(name).await
    }

    /// All Services that have marks of ours.
    pub(super) async fn marked(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<Service>, kube::Error> {
        let api: Api<Service> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut services = api.list(&ListParams::default()).await?.items;
        services.retain(|service| WatchedService::from(service.clone()).is_marked());
        Ok(services)
    }
}

fn change(seen: &Observed, step: &Step) -> Value {
    match step {
        Step::Allot(ports) => annotate(&json!({ PORTS: annotations::format_ports(ports) })),
        Step::Say(status) => annotate(&json!({ STATUS: status })),
        Step::Unmark => annotate(&json!({ PORTS: null, SELECTOR: null, STATUS: null })),
        Step::TakeSelector => {
            let selector = seen.selector.as_ref().map(annotations::format_selector);
            let mut change = annotate(&json!({ SELECTOR: selector }));
            change["spec"] = json!({ "selector": null });
            change
        }
        Step::GiveSelector => json!({ "metadata": {}, "spec": { "selector": seen.kept_selector } }),
        Step::WriteSlices(_) | Step::DropSlices(_) | Step::DropPlatformSlices(_) => json!({}),
    }
}

fn annotate(annotations: &Value) -> Value {
    json!({ "metadata": { "annotations": annotations } })
}

fn failure(seen: &Observed, action: &'static str, source: kube::Error) -> ServiceError {
    let (namespace, name) = (seen.namespace.clone(), seen.name.clone());
    match &source {
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => {
            ServiceError::Changed { namespace, name }
        }
        _ => ServiceError::Api {
            action,
            namespace,
            name,
            source: Box::new(source),
        },
    }
}

fn unless_missing<T>(outcome: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

fn names<'s>(slices: impl Iterator<Item = &'s EndpointSlice>) -> Vec<String> {
    slices
        .filter_map(|slice| slice.metadata.name.clone())
        .collect()
}
