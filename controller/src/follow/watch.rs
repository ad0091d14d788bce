//! One list and watch: of a kind, in one namespace or in all.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Resource as _;
use kube::runtime::watcher::{self, Event};
use tracing::{debug, warn};

use super::driver::{Context, Message};
use super::raw::Raw;
use super::resource::Resource;
use crate::projection::ObjectKey;

/// Objects of one page of a list.
const PAGE: u32 = 500;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// Why a list or watch broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no such kind.
    Missing,
    /// It may not be read.
    Forbidden,
    /// The resource version is too old: an ordinary event, a new list follows at once.
    Expired,
    /// Anything else: the API server may be away.
    Other,
}

/// Follows until the context ends.
pub(super) async fn run(context: Context, resource: Resource, namespace: Option<Arc<str>>) {
    let stop = context.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow(&context, &resource, namespace) => {}
    }
}

async fn follow(context: &Context, resource: &Resource, namespace: Option<Arc<str>>) {
    let api = resource.of(&context.client, namespace.as_deref());
    let config = watcher::Config::default().page_size(PAGE);
    let mut stream = pin!(watcher::watcher(api, config));
    let mut listing = Listing {
        resource,
        namespace,
        seen: HashSet::new(),
        absences: Absences::default(),
    };
    let mut backoff = FIRST_BACKOFF;
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                // That a list begins says nothing yet.
                if !matches!(event, Event::Init) {
                    backoff = FIRST_BACKOFF;
                    listing.absences = Absences::default();
                }
                if let Some(message) = listing.message(event)
                    && context.events.send(message).await.is_err()
                {
                    return;
                }
            }
            Err(error) => {
                let wait = listing.failed(context, &error, &mut backoff).await;
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// A list under way, or followed by its watch.
struct Listing<'r> {
    resource: &'r Resource,
    namespace: Option<Arc<str>>,
    seen: HashSet<ObjectKey>,
    absences: Absences,
}

/// How often in a row there was no such kind.
#[derive(Debug, Default)]
pub(super) struct Absences(u32);

impl Absences {
    /// Whether a list that failed so means that there are no objects. At the start nobody waits for a
    /// kind that is not there. Later one that may not be read says nothing of objects that were read
    /// before, and an API server that is coming up may once say that there is no such kind.
    pub(super) fn is_empty(&mut self, failure: Failure, is_listed: bool) -> bool {
        let is_missing = failure == Failure::Missing;
        self.0 = self.0.saturating_add(u32::from(is_missing));
        !is_listed || is_missing && self.0 >= 2
    }
}

impl Listing<'_> {
    fn message(&mut self, event: Event<Raw>) -> Option<Message> {
        let kind = &self.resource.kind;
        match event {
            Event::Init => {
                self.seen.clear();
                None
            }
            Event::InitApply(object) => {
                self.seen.insert(self.key(&object)?);
                Some(Message::Upsert(kind.clone(), object.value))
            }
            Event::InitDone => Some(Message::Listed {
                kind: kind.clone(),
                namespace: self.namespace.clone(),
                seen: std::mem::take(&mut self.seen),
            }),
            Event::Apply(object) => Some(Message::Upsert(kind.clone(), object.value)),
            Event::Delete(object) => Some(Message::Delete(self.key(&object)?)),
        }
    }

    fn key(&self, object: &Raw) -> Option<ObjectKey> {
        let namespace = object.meta().namespace.as_deref();
        let name = object.meta().name.as_deref()?;
        Some(ObjectKey::new(
            self.resource.kind.clone(),
            namespace.unwrap_or_default(),
            name,
        ))
    }

    /// Says what it means, and how long to wait before the next attempt.
    async fn failed(
        &mut self,
        context: &Context,
        error: &watcher::Error,
        backoff: &mut Duration,
    ) -> Duration {
        let kind = self.resource.kind.api().1;
        match classify(error) {
            Failure::Expired => {
                debug!(kind, "the watch expired: listing again");
                Duration::ZERO
            }
            failure @ (Failure::Missing | Failure::Forbidden) => {
                if failure == Failure::Forbidden {
                    warn!(kind, error = %error, "this kind may not be read");
                }
                let message = Message::Listed {
                    kind: self.resource.kind.clone(),
                    namespace: self.namespace.clone(),
                    seen: HashSet::new(),
                };
                let is_told = self.absences.is_empty(failure, context.is_listed());
                if is_told && context.events.send(message).await.is_err() {
                    debug!(kind, "nobody follows any more");
                }
                context.options.retry_missing
            }
            Failure::Other => {
                warn!(kind, error = %error, "watch broke off");
                let wait = *backoff;
                *backoff = (*backoff * 2).min(LONGEST_BACKOFF);
                wait
            }
        }
    }
}

pub(crate) fn classify(error: &watcher::Error) -> Failure {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => of_code(status.code),
            _ => Failure::Other,
        },
        watcher::Error::WatchError(status) => of_code(status.code),
        watcher::Error::NoResourceVersion => Failure::Other,
    }
}

fn of_code(code: u16) -> Failure {
    match code {
        404 => Failure::Missing,
        401 | 403 => Failure::Forbidden,
        410 => Failure::Expired,
        _ => Failure::Other,
    }
}
