//! The watch itself: list, follow, reconnect.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::Shared;
use super::raw::RawService;
use crate::back_off::BackOff;

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// First and longest pause after a failed list or watch.
const BACK_OFF: Duration = Duration::from_millis(100);
const MAX_BACK_OFF: Duration = Duration::from_secs(5);

/// Follows the Services of all namespaces until it is dropped.
pub(super) async fn run(client: Client, shared: Arc<Shared>) {
    let api: Api<RawService> = Api::all(client);
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = watcher::watcher(api, config).boxed();
    let mut back_off = BackOff::new(BACK_OFF, MAX_BACK_OFF);
    // Counts full lists.
    let mut generation = 0;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                // A list that only began proves nothing.
                if !matches!(event, Event::Init) {
                    back_off.reset();
                }
                shared.take(event, &mut generation);
            }
            Err(error) => {
                shared.counters.watch_errors.inc();
                let pause = back_off.next();
                report(&error, back_off.failures(), pause);
                sleep(pause).await;
            }
        }
    }
}

impl Shared {
    fn take(&self, event: Event<RawService>, generation: &mut u64) {
        let mut table = self.table.lock();
        match event {
            Event::Init => {
                *generation += 1;
                self.counters.relists.inc();
            }
            Event::InitApply(service) | Event::Apply(service) => table.apply(&service, *generation),
            Event::Delete(service) => table.delete(&service),
            Event::InitDone => {
                table.sweep(*generation);
                drop(table);
                self.synced.send_replace(true);
            }
        }
    }
}

fn report(error: &watcher::Error, failures: u32, pause: Duration) {
    let error = error as &dyn std::error::Error;
    // A connection that ends is daily business; one that does not come back is not.
    match failures {
        0..=2 => debug!(error, ?pause, "the watch of services was interrupted"),
        _ => warn!(error, ?pause, failures, "the watch of services fails"),
    }
}
