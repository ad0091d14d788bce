//! The watch of Revisions: takes events in, hands changes out, in batches.

use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::watch as signal;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};
use zeron_backend_kubernetes::ServiceEndpoints;

use super::PublishRevisions;
use super::revision::RawRevision;
use super::table::Table;
use crate::follow::watch::{Failure, classify};

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// How long changes are gathered after some were handed out: a data plane takes them all at once.
const BATCH: Duration = Duration::from_millis(20);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// How often a kind that does not exist, or may not be read, is tried again.
const RETRY_MISSING: Duration = Duration::from_secs(10);

pub(super) struct Driver {
    endpoints: ServiceEndpoints,
    publish: PublishRevisions,
    synced: signal::Sender<bool>,
    table: Table,
    /// Counts full lists.
    generation: u64,
    /// When changes may be handed out.
    next: Instant,
}

impl Driver {
    pub(super) fn new(
        endpoints: ServiceEndpoints,
        publish: PublishRevisions,
        synced: signal::Sender<bool>,
    ) -> Self {
        Self {
            endpoints,
            publish,
            synced,
            table: Table::default(),
            generation: 0,
            next: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, client: Client) {
        let api: Api<RawRevision> = Api::all(client);
        let config = watcher::Config::default().page_size(PAGE);
        let mut events = watcher::watcher(api, config).boxed();
        let mut backoff = FIRST_BACKOFF;
        loop {
            let is_due = *self.synced.borrow() && self.table.has_news();
            let event = tokio::select! {
                event = events.next() => event,
                () = sleep_until(self.next), if is_due => {
                    self.hand_out();
                    continue;
                }
            };
            match event {
                Some(Ok(event)) => {
                    // That a list begins says nothing yet.
                    if !matches!(event, Event::Init) {
                        backoff = FIRST_BACKOFF;
                    }
                    self.take(event);
                }
                Some(Err(error)) => sleep(pause(&error, &mut backoff)).await,
                None => return,
            }
        }
    }

    fn take(&mut self, event: Event<RawRevision>) {
        match event {
            Event::Init => self.generation += 1,
            Event::InitApply(raw) | Event::Apply(raw) => self.table.apply(&raw, self.generation),
            Event::Delete(raw) => self.table.delete(&raw),
            Event::InitDone => {
                self.table.sweep(self.generation);
                self.hand_out();
                if !self.synced.send_replace(true) {
                    info!("revisions are known");
                }
            }
        }
    }

    fn hand_out(&mut self) {
        let news = self.table.take_news();
        // Functions are known before their replicas are.
        (self.publish)(news.routes);
        for id in &news.gone {
            self.endpoints.forget(id);
        }
        for target in news.declared {
            self.endpoints.declare(target);
        }
        self.next = Instant::now() + BATCH;
    }
}

fn pause(error: &watcher::Error, backoff: &mut Duration) -> Duration {
    match classify(error) {
        Failure::Expired => {
            debug!("the watch of revisions expired: listing again");
            Duration::ZERO
        }
        Failure::Missing | Failure::Forbidden => {
            warn!(%error, "revisions cannot be read");
            RETRY_MISSING
        }
        Failure::Other => {
            warn!(%error, "the watch of revisions broke off");
            let wait = *backoff;
            *backoff = (*backoff * 2).min(LONGEST_BACKOFF);
            wait
        }
    }
}
