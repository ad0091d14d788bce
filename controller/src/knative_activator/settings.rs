//! Settings in Knative's own namespace: those of the network, read once as Knative's activator
//! does, and what may change while everything runs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::watch as signal;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;
use zeron_backend_kubernetes::MeshCompatibility;

const NETWORK: &str = "config-network";
const OBSERVABILITY: &str = "config-observability";
/// The certificate that gateways expect of activators.
const SERVING_CERTS: &str = "routing-serving-certs";
/// The authority behind it, beside it.
const AUTHORITY: &str = "ca.crt";
/// ConfigMaps with certificates to trust.
const TRUST_BUNDLE: &str = "networking.knative.dev/trust-bundle";
/// Until a watch that broke off is begun again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why settings are not known.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The API server says so.
    #[error("config-network cannot be read")]
    Read(#[source] kube::Error),
}

/// What config-network says of the way to replicas. Knative's activator takes it at its start only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// `mesh-compatibility-mode`.
    pub mesh: MeshCompatibility,
    /// `enable-mesh-pod-addressability`.
    pub has_passthrough: bool,
    /// `system-internal-tls`.
    pub has_internal_tls: bool,
}

impl Network {
    /// Reads config-network in `namespace`; one that does not exist changes no default.
    ///
    /// # Errors
    /// When the API server cannot be asked, or refuses.
    pub async fn read(client: &Client, namespace: &str) -> Result<Self, SettingsError> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let map = api.get_opt(NETWORK).await.map_err(SettingsError::Read)?;
        let data = map.and_then(|map| map.data).unwrap_or_default();
        Ok(Self::parse(&data))
    }

    /// What the data of config-network says; unknown values are as good as none.
    pub fn parse(data: &BTreeMap<String, String>) -> Self {
        let word = |key: &str| data.get(key).map(|it| it.trim().to_ascii_lowercase());
        let is = |key: &str, wanted: &str| word(key).is_some_and(|word| word == wanted);
        Self {
            mesh: match word("mesh-compatibility-mode").as_deref() {
                Some("enabled") => MeshCompatibility::Enabled,
                Some("disabled") => MeshCompatibility::Disabled,
                _ => MeshCompatibility::Auto,
            },
            has_passthrough: is_true(data.get("enable-mesh-pod-addressability")),
            has_internal_tls: is("system-internal-tls", "enabled")
                || is_true(data.get("internal-encryption")),
        }
    }
}

/// How requests are logged, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLog {
    /// A Go template over request, answer and revision.
    pub template: String,
}

impl RequestLog {
    /// What the data of config-observability says; `None`: they are not.
    pub fn parse(data: &BTreeMap<String, String>) -> Option<Self> {
        let template = data.get("logging.request-log-template")?;
        let is_on = is_true(data.get("logging.enable-request-log")) && !template.is_empty();
        is_on.then(|| Self {
            template: template.clone(),
        })
    }
}

/// A certificate and its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, leaf first.
    pub chain: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl Certificate {
    fn of(secret: Secret) -> Option<Self> {
        let mut data = secret.data?;
        Some(Self {
            chain: data.remove("tls.crt")?.0,
            key: data.remove("tls.key")?.0,
        })
    }
}

/// Follows how requests are to be logged (config-observability in `namespace`), for as long as the
/// handle lives.
pub fn follow_request_log(
    client: &Client,
    namespace: &str,
) -> (signal::Receiver<Option<RequestLog>>, AbortOnDropHandle<()>) {
    follow(client, namespace, OBSERVABILITY, |map: ConfigMap| {
        RequestLog::parse(&map.data.unwrap_or_default())
    })
}

/// Follows the certificate that gateways expect (the Secret routing-serving-certs in `namespace`),
/// for as long as the handle lives.
pub fn follow_certificate(
    client: &Client,
    namespace: &str,
) -> (signal::Receiver<Option<Certificate>>, AbortOnDropHandle<()>) {
    follow(client, namespace, SERVING_CERTS, Certificate::of)
}

/// Follows whose word counts about queue-proxies, PEM: the authority of the gateways' certificate
/// (`ca.crt`) and every bundle that is labelled as one to trust (both in `namespace`), for as long as
/// the handle lives.
pub fn follow_authorities(
    client: &Client,
    namespace: &str,
) -> (signal::Receiver<Vec<u8>>, AbortOnDropHandle<()>) {
    let (mut own, following) = follow(client, namespace, SERVING_CERTS, |secret: Secret| {
        Some(secret.data?.remove(AUTHORITY)?.0)
    });
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let (sender, receiver) = signal::channel(Vec::new());
    let task = tokio::spawn(async move {
        let _following = following;
        let only = watcher::Config::default().labels(TRUST_BUNDLE);
        let mut events = watcher::watcher(api, only).boxed();
        let mut bundles = Bundles::default();
        loop {
            tokio::select! {
                Some(event) = events.next() => match event {
                    Ok(event) => bundles.take(event),
                    Err(error) => {
                        debug!(%error, "the watch of trust bundles was interrupted");
                        sleep(PAUSE).await;
                    }
                },
                changed = own.changed() => if changed.is_err() {
                    return;
                },
            }
            let now = bundles.beside(own.borrow_and_update().as_deref());
            sender.send_if_modified(|known| {
                let is_news = *known != now;
                *known = now;
                is_news
            });
        }
    });
    (receiver, AbortOnDropHandle::new(task))
}

/// Bundles of certificates, by the ConfigMap that they stand in.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    known: BTreeMap<String, String>,
    /// Those of a list under way.
    listed: Option<BTreeMap<String, String>>,
}

impl Bundles {
    pub(super) fn take(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => self.listed = Some(BTreeMap::new()),
            Event::InitApply(map) => {
                if let Some(listed) = &mut self.listed {
                    listed.extend(bundle(map));
                }
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.known = listed;
                }
            }
            Event::Apply(map) => self.known.extend(bundle(map)),
            Event::Delete(map) => {
                self.known.remove(&map.metadata.name.unwrap_or_default());
            }
        }
    }

    /// All of them, and one more.
    pub(super) fn beside(&self, own: Option<&[u8]>) -> Vec<u8> {
        let bundles = self.known.values().map(String::as_bytes);
        let all: Vec<_> = own.into_iter().chain(bundles).collect();
        all.join(&b'\n')
    }
}

/// The certificates of a ConfigMap, whatever its keys.
fn bundle(map: ConfigMap) -> Option<(String, String)> {
    let data = map.data.unwrap_or_default();
    let all: Vec<_> = data.into_values().collect();
    Some((map.metadata.name?, all.join("\n")))
}

/// Follows one object by its name. One that goes leaves what it said last.
fn follow<K, T>(
    client: &Client,
    namespace: &str,
    name: &'static str,
    read: fn(K) -> Option<T>,
) -> (signal::Receiver<Option<T>>, AbortOnDropHandle<()>)
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + fmt::Debug
        + Send
        + 'static,
    K::DynamicType: Default,
    T: PartialEq + Send + Sync + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let (sender, receiver) = signal::channel(None);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let task = tokio::spawn(async move {
        let mut events = watcher::watcher(api, only).boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    let now = read(object);
                    sender.send_if_modified(|known| {
                        let is_news = *known != now;
                        *known = now;
                        is_news
                    });
                }
                Ok(Event::Init | Event::InitDone | Event::Delete(_)) => {}
                Err(error) => {
                    debug!(name, %error, "its watch was interrupted");
                    sleep(PAUSE).await;
                }
            }
        }
    });
    (receiver, AbortOnDropHandle::new(task))
}

/// What Go reads as true.
fn is_true(word: Option<&String>) -> bool {
    word.is_some_and(|word| ["1", "t", "T", "TRUE", "true", "True"].contains(&word.as_str()))
}
