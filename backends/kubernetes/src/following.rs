//! A watch of all objects of a kind: list, follow, reconnect.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::back_off::BackOff;
use crate::counters::Counters;

/// Objects of one page of a list.
const PAGE: u32 = 500;

/// Hands every event to `take`, with the number of full lists begun so far, until it is dropped. `what` is the kind's name
/// in the log.
pub(crate) async fn follow<K>(
    api: Api<K>,
    only: watcher::Config,
    mut back_off: BackOff,
    what: &str,
    counters: &Counters,
    mut take: impl FnMut(Event<K>, u64),
) where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = watcher::watcher(api, only.page_size(PAGE)).boxed();
    let mut generation = 0;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                // A list that only began proves nothing.
                if matches!(event, Event::Init) {
                    generation += 1;
                    counters.relists.inc();
                } else {
                    back_off.reset();
                }
                take(event, generation);
            }
            Err(error) => {
                counters.watch_errors.inc();
                let pause = back_off.next();
                report(what, &error, back_off.failures(), pause);
                sleep(pause).await;
            }
        }
    }
}

fn report(what: &str, error: &watcher::Error, failures: u32, pause: Duration) {
    let error = error as &dyn std::error::Error;
    // A connection that ends is daily business; one that does not come back is not.
    match failures {
        0..=2 => debug!(error, ?pause, "the watch of {what} was interrupted"),
        _ => warn!(error, ?pause, failures, "the watch of {what} fails"),
    }
}
