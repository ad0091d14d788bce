//! The watch itself: list, follow, reconnect.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::Shared;
use super::config::EndpointsConfig;
use super::raw::RawEndpoints;
use super::table::SERVICE_TYPE;
use crate::back_off::BackOff;

/// Objects of one page of a list.
const PAGE: u32 = 500;

/// Follows Endpoints until it is dropped.
pub(super) async fn run(client: Client, config: EndpointsConfig, shared: Arc<Shared>) {
    let api: Api<RawEndpoints> = Api::all(client);
    let only = watcher::Config::default().labels(SERVICE_TYPE);
    let mut events = watcher::watcher(api, only.page_size(PAGE)).boxed();
    let mut back_off = BackOff::new(config.back_off, config.max_back_off);
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
    fn take(&self, event: Event<RawEndpoints>, generation: &mut u64) {
        match event {
            Event::Init => {
                *generation += 1;
                self.counters.relists.inc();
            }
            Event::InitApply(object) | Event::Apply(object) => {
                self.change(|state| state.table.apply(&object, *generation));
            }
            Event::Delete(object) => self.change(|state| state.table.delete(&object)),
            Event::InitDone => {
                self.change(|state| {
                    state.table.sweep(*generation);
                    state.is_synced = true;
                });
                self.synced.send_replace(true);
            }
        }
    }
}

fn report(error: &watcher::Error, failures: u32, pause: Duration) {
    let error = error as &dyn std::error::Error;
    // A connection that ends is daily business; one that does not come back is not.
    match failures {
        0..=2 => debug!(error, ?pause, "the watch of endpoints was interrupted"),
        _ => warn!(error, ?pause, failures, "the watch of endpoints fails"),
    }
}
