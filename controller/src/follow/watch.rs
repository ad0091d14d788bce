//! One list and watch: of a kind, in one namespace or in all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Resource as _;
use kube::runtime::watcher::{self, Event};
use prometheus_client::metrics::gauge::Gauge;
use tracing::{debug, info, warn};

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
    let mut stream = watcher::watcher(api.clone(), config.clone()).boxed();
    let mut listing = Listing {
        resource,
        namespace,
        seen: HashSet::new(),
        access: Access::default(),
        stale: context.stale.of(resource.kind.api().1),
    };
    let mut backoff = FIRST_BACKOFF;
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                // That a list begins says nothing yet.
                if !matches!(event, Event::Init) {
                    backoff = FIRST_BACKOFF;
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
                if listing.access.is_lost() {
                    // A kind that comes back is listed: a watch that goes on would not say so.
                    stream = watcher::watcher(api.clone(), config.clone()).boxed();
                }
            }
        }
    }
}

/// A list under way, or followed by its watch.
struct Listing<'r> {
    resource: &'r Resource,
    namespace: Option<Arc<str>>,
    seen: HashSet<ObjectKey>,
    access: Access,
    /// Says that it cannot be read any more.
    stale: Gauge,
}

/// Whether a kind can be read.
#[derive(Debug, Default)]
pub(super) struct Access {
    has_been_read: bool,
    is_lost: bool,
}

/// What follows from a list that failed because the kind is missing or forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It was never read: nobody waits for a kind that is not there, or not for us.
    Nothing,
    /// It was read, and no more: what is known of its objects stays. Those of a kind that is removed
    /// in earnest were deleted before it was, one by one.
    Stale,
    /// The same, as was said before.
    StillStale,
}

impl Access {
    pub(super) fn lose(&mut self) -> Loss {
        let was_lost = std::mem::replace(&mut self.is_lost, true);
        match (self.has_been_read, was_lost) {
            (false, _) => Loss::Nothing,
            (true, false) => Loss::Stale,
            (true, true) => Loss::StillStale,
        }
    }

    /// All of it was read; whether that could not be done before.
    pub(super) fn restore(&mut self) -> bool {
        let was_read = std::mem::replace(&mut self.has_been_read, true);
        std::mem::take(&mut self.is_lost) && was_read
    }

    fn is_lost(&self) -> bool {
        self.is_lost
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
            Event::InitDone => {
                if self.access.restore() {
                    let kind = kind.api().1;
                    info!(kind, "this kind can be read again");
                    self.stale.dec();
                }
                Some(self.listed())
            }
            Event::Apply(object) => Some(Message::Upsert(kind.clone(), object.value)),
            Event::Delete(object) => Some(Message::Delete(self.key(&object)?)),
        }
    }

    /// These are all.
    fn listed(&mut self) -> Message {
        Message::Listed {
            kind: self.resource.kind.clone(),
            namespace: self.namespace.clone(),
            seen: std::mem::take(&mut self.seen),
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
                self.lost(context, failure, error).await;
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

    /// The kind is missing or forbidden.
    async fn lost(&mut self, context: &Context, failure: Failure, error: &watcher::Error) {
        let kind = self.resource.kind.api().1;
        match self.access.lose() {
            Loss::Nothing => {
                if failure == Failure::Forbidden {
                    warn!(kind, error = %error, "this kind may not be read");
                }
                self.seen.clear();
                let message = self.listed();
                if context.events.send(message).await.is_err() {
                    debug!(kind, "nobody follows any more");
                }
            }
            Loss::Stale => {
                self.stale.inc();
                warn!(kind, error = %error, "this kind cannot be read any more: its objects stay as they were");
            }
            Loss::StillStale => debug!(kind, error = %error, "this kind still cannot be read"),
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
