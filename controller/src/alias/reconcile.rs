//! Keeps the aliases of one namespace.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::names::{ALIASES, ActivatorPorts, Alias, Lead};
use super::standing::{LABEL, Standing, slices};
use crate::services::{ActivatorPod, Activators, SliceApi};

const FIELD_MANAGER: &str = "zeron-alias";
/// Without any change: somebody may have edited what is ours.
const RESYNC: Duration = Duration::from_secs(300);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// Which aliases there are and where they lead.
#[derive(Clone, Debug)]
pub struct AliasOptions {
    /// Where they are; `None`: nowhere, and those of former times are removed.
    pub namespace: Option<String>,
    /// Where former ones are looked for; everywhere when empty.
    pub namespaces: Vec<String>,
    /// The activators' port for requests.
    pub http: NonZeroU16,
    /// The same for TLS, where they have it.
    pub https: Option<NonZeroU16>,
    /// The activators' port of health and metrics.
    pub health: NonZeroU16,
    /// Name of this process in events.
    pub instance: String,
}

/// An alias could not be kept.
#[derive(Debug, Error)]
#[error("cannot {action} Service {name}")]
pub struct AliasError {
    action: &'static str,
    name: String,
    #[source]
    source: kube::Error,
}

/// Keeps them until `end`.
pub async fn run(
    client: Client,
    options: AliasOptions,
    activators: watch::Receiver<Option<Arc<Activators>>>,
    end: CancellationToken,
) {
    let keeper = Keeper::new(client, options);
    if let Err(error) = keeper.remove_former().await {
        warn!(error = %error, cause = %error.source, "cannot remove Services of former aliases");
    }
    let Some(namespace) = keeper.options.namespace.clone() else {
        return;
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = keeper.keep(&namespace, activators) => {}
    }
}

pub(super) struct Keeper {
    client: Client,
    options: AliasOptions,
    slices: SliceApi,
    recorder: Recorder,
}

impl Keeper {
    pub(super) fn new(client: Client, options: AliasOptions) -> Self {
        let reporter = Reporter {
            controller: "zeron-controller".to_owned(),
            instance: Some(options.instance.clone()),
        };
        Self {
            slices: SliceApi::new(client.clone()),
            recorder: Recorder::new(client.clone(), reporter),
            client,
            options,
        }
    }

    async fn keep(
        &self,
        namespace: &str,
        mut activators: watch::Receiver<Option<Arc<Activators>>>,
    ) {
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let events = watcher::<Service>(api, watcher::Config::default()).default_backoff();
        let names = |event: &Result<watcher::Event<Service>, watcher::Error>| match event {
            Ok(watcher::Event::Apply(s) | watcher::Event::Delete(s)) => is_alias(s),
            Ok(watcher::Event::InitDone) => true,
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) | Err(_) => false,
        };
        let events = events.filter(|event| std::future::ready(names(event)));
        futures_util::pin_mut!(events);
        loop {
            let known = activators.borrow_and_update().clone();
            let is_well = match known {
                Some(known) => self.once(namespace, &known.usable()).await,
                None => true,
            };
            let pause = if is_well { RESYNC } else { AGAIN };
            let change = async {
                tokio::select! {
                    changed = activators.changed() => changed.is_ok(),
                    event = events.next() => event.is_some(),
                }
            };
            if let Ok(false) = timeout(pause, change).await {
                return;
            }
        }
    }

    /// All aliases; `false` when one failed.
    pub(super) async fn once(&self, namespace: &str, activators: &[&ActivatorPod]) -> bool {
        let mut is_well = true;
        for alias in &ALIASES {
            if let Err(error) = self.one(namespace, alias, activators).await {
                warn!(error = %error, cause = %error.source, namespace, "an alias cannot be kept");
                is_well = false;
            }
        }
        is_well
    }

    async fn one(
        &self,
        namespace: &str,
        alias: &Alias,
        activators: &[&ActivatorPod],
    ) -> Result<Standing, AliasError> {
        let failed = |action| {
            move |source| AliasError {
                action,
                name: format!("{namespace}/{}", alias.name),
                source,
            }
        };
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(alias.name).await.map_err(failed("read"))?;
        let standing = Standing::of(found.as_ref());
        let service = match (standing, found) {
            (Standing::Foreign, Some(foreign)) => {
                self.leave(namespace, alias, &foreign)
                    .await
                    .map_err(failed("leave"))?;
                return Ok(standing);
            }
            (Standing::TakenOver, Some(service)) => service,
            _ => self.make(&api, alias).await.map_err(failed("write"))?,
        };
        let ports = self.ports();
        let wanted = slices(alias, &service, &ports, activators);
        let outcome = self.slices.lead(namespace, alias.name, &wanted).await;
        outcome.map_err(failed("lead the callers of"))?;
        Ok(standing)
    }

    fn ports(&self) -> ActivatorPorts {
        ActivatorPorts {
            http: self.options.http,
            https: self.options.https,
            health: self.options.health,
        }
    }

    async fn make(&self, api: &Api<Service>, alias: &Alias) -> Result<Service, kube::Error> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let wanted = manifest(alias, self.options.https.is_some());
        api.patch(alias.name, &params, &Patch::Apply(&wanted)).await
    }

    /// Another owner's Service with pods of its own: said, never touched. Slices of ours that a
    /// take-over left go as soon as the platform's lead to the pods.
    async fn leave(
        &self,
        namespace: &str,
        alias: &Alias,
        foreign: &Service,
    ) -> Result<(), kube::Error> {
        if self.slices.unlead(namespace, alias.name).await? {
            info!(
                namespace,
                name = alias.name,
                "its own pods serve this Service again"
            );
        }
        let note = format!(
            "this Service has another owner, so zeron leads nobody from it to its activators; \
             `zeron import http-add-on` takes it over, deleting it lets zeron make its own ({}={})",
            LABEL, "true"
        );
        let event = Event {
            type_: EventType::Warning,
            reason: "AliasTaken".to_owned(),
            note: Some(note),
            action: "Check".to_owned(),
            secondary: None,
        };
        if let Err(error) = self
            .recorder
            .publish(&event, &foreign.object_ref(&()))
            .await
        {
            warn!(%error, "cannot write an event");
        }
        Ok(())
    }

    fn searched(&self) -> Vec<Api<Service>> {
        let namespaces = &self.options.namespaces;
        match namespaces.is_empty() {
            true => vec![Api::all(self.client.clone())],
            false => {
                let of = |n: &String| Api::namespaced(self.client.clone(), n);
                namespaces.iter().map(of).collect()
            }
        }
    }

    /// Removes Services made here that no option asks for any more.
    pub(super) async fn remove_former(&self) -> Result<(), AliasError> {
        let ours = ListParams::default().labels(&format!("{LABEL}=true"));
        let failed = |action, name: &str| {
            let name = name.to_owned();
            move |source| AliasError {
                action,
                name,
                source,
            }
        };
        let mut listed = Vec::new();
        for api in self.searched() {
            let found = api.list(&ours).await.map_err(failed("list", ""))?;
            listed.extend(found.items);
        }
        for service in listed {
            let namespace = service.metadata.namespace.clone().unwrap_or_default();
            if self.options.namespace.as_deref() == Some(namespace.as_str()) {
                continue;
            }
            let name = service.metadata.name.clone().unwrap_or_default();
            let api: Api<Service> = Api::namespaced(self.client.clone(), &namespace);
            api.delete(&name, &DeleteParams::default())
                .await
                .map_err(failed("delete", &name))?;
            info!(namespace, name, "removed the alias");
        }
        Ok(())
    }
}

fn is_alias(service: &Service) -> bool {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    ALIASES.iter().any(|alias| alias.name == name)
}

fn manifest(alias: &Alias, has_tls: bool) -> Value {
    let ports = alias
        .ports
        .iter()
        .filter(|p| has_tls || p.lead != Lead::Https);
    let ports =
        ports.map(|port| json!({ "name": port.name, "port": port.number, "protocol": "TCP" }));
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": alias.name,
            "labels": { LABEL: "true", "app.kubernetes.io/managed-by": "zeron" },
        },
        "spec": { "type": "ClusterIP", "ports": ports.collect::<Vec<_>>() },
    })
}
