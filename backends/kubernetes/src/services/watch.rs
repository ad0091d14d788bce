//! What a watch of Services changes in the table.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};

use super::Shared;
use super::raw::RawService;
use crate::back_off::BackOff;
use crate::following::follow;

/// First and longest pause after a failed list or watch.
const BACK_OFF: Duration = Duration::from_millis(100);
const MAX_BACK_OFF: Duration = Duration::from_secs(5);

/// Follows the Services of all namespaces until it is dropped.
pub(super) async fn run(client: Client, shared: Arc<Shared>) {
    let api: Api<RawService> = Api::all(client);
    let back_off = BackOff::new(BACK_OFF, MAX_BACK_OFF);
    let all = watcher::Config::default();
    let health = Arc::clone(&shared.health);
    let take = |event, generation| shared.take(event, generation);
    follow(api, all, back_off, health, take).await;
}

impl Shared {
    fn take(&self, event: Event<RawService>, generation: u64) {
        let mut table = self.table.lock();
        match event {
            Event::Init => {}
            Event::InitApply(service) | Event::Apply(service) => table.apply(&service, generation),
            Event::Delete(service) => table.delete(&service),
            Event::InitDone => {
                table.sweep(generation);
                drop(table);
                self.synced.send_replace(true);
            }
        }
    }
}
