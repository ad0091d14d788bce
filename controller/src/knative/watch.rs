//! Lists and watches of the kinds, told to the driver.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource as _};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::KnativeOptions;
use super::kind::{Key, Kind};
use crate::follow::raw::Raw;
use crate::follow::watch::{Failure, classify};

/// Objects of one page of a list.
const PAGE: u32 = 500;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Deployments of revisions have it.
const OF_REVISION: &str = "serving.knative.dev/revision";

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Seen {
    /// An object is there, or changed.
    Upsert(Kind, Key, Value),
    /// An object is gone.
    Delete(Kind, Key),
    /// These are all objects of a kind, in a namespace or everywhere.
    Listed {
        kind: Kind,
        namespace: Option<String>,
        keys: HashSet<Key>,
    },
}

/// One list and watch.
#[derive(Clone, Debug)]
struct Watch {
    kind: Kind,
    namespace: Option<String>,
    retry_missing: Duration,
}

/// The namespaces of each kind that are listed by themselves; `None`: all.
pub(super) fn scopes(kind: Kind, options: &KnativeOptions) -> Vec<Option<String>> {
    match kind {
        Kind::ConfigMap => vec![Some(options.system_namespace.clone())],
        _ if options.namespaces.is_empty() => vec![None],
        _ => options.namespaces.iter().cloned().map(Some).collect(),
    }
}

pub(super) fn start(
    client: &Client,
    options: &KnativeOptions,
    events: &mpsc::Sender<Seen>,
    stop: &CancellationToken,
) {
    for kind in Kind::ALL {
        for namespace in scopes(kind, options) {
            let watch = Watch {
                kind,
                namespace,
                retry_missing: options.retry_missing,
            };
            let run = watch.run(client.clone(), events.clone());
            tokio::spawn(stop.clone().run_until_cancelled_owned(run));
        }
    }
}

impl Watch {
    async fn run(self, client: Client, events: mpsc::Sender<Seen>) {
        let resource = self.kind.resource();
        let api: Api<Raw> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let mut config = watcher::Config::default().page_size(PAGE);
        if self.kind == Kind::Deployment {
            config = config.labels(OF_REVISION);
        }
        let mut stream = pin!(watcher::watcher(api, config));
        let mut seen = HashSet::new();
        let mut backoff = FIRST_BACKOFF;
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    // That a list begins says nothing yet.
                    if !matches!(event, Event::Init) {
                        backoff = FIRST_BACKOFF;
                    }
                    if let Some(told) = self.tell(event, &mut seen)
                        && events.send(told).await.is_err()
                    {
                        return;
                    }
                }
                Err(error) => {
                    let wait = self.failed(&error, &mut backoff);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn tell(&self, event: Event<Raw>, seen: &mut HashSet<Key>) -> Option<Seen> {
        match event {
            Event::Init => {
                seen.clear();
                None
            }
            Event::InitApply(object) => {
                let key = key(&object)?;
                seen.insert(key.clone());
                Some(Seen::Upsert(self.kind, key, object.value))
            }
            Event::InitDone => Some(Seen::Listed {
                kind: self.kind,
                namespace: self.namespace.clone(),
                keys: std::mem::take(seen),
            }),
            Event::Apply(object) => Some(Seen::Upsert(self.kind, key(&object)?, object.value)),
            Event::Delete(object) => Some(Seen::Delete(self.kind, key(&object)?)),
        }
    }

    /// How long to wait before the next attempt. A kind that is missing, or may not be read, says
    /// nothing of its objects: Knative may be being installed, or the API server be coming up.
    fn failed(&self, error: &watcher::Error, backoff: &mut Duration) -> Duration {
        let kind = self.kind;
        match classify(error) {
            Failure::Expired => {
                debug!(?kind, "the watch expired: listing again");
                Duration::ZERO
            }
            Failure::Missing | Failure::Forbidden => {
                warn!(?kind, %error, "this kind cannot be read");
                self.retry_missing
            }
            Failure::Other => {
                warn!(?kind, %error, "watch broke off");
                let wait = *backoff;
                *backoff = (*backoff * 2).min(LONGEST_BACKOFF);
                wait
            }
        }
    }
}

fn key(object: &Raw) -> Option<Key> {
    let meta = object.meta();
    let namespace = meta.namespace.as_deref()?;
    Some(Key::new(namespace, meta.name.as_deref()?))
}
