//! What a watch of Endpoints changes in the table.

use std::sync::Arc;

use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};

use super::Shared;
use super::config::EndpointsConfig;
use super::raw::RawEndpoints;
use super::table::SERVICE_TYPE;
use crate::back_off::BackOff;
use crate::following::{Health, follow};

/// Follows Endpoints until it is dropped.
pub(super) async fn run(client: Client, config: EndpointsConfig, shared: Arc<Shared>) {
    let api: Api<RawEndpoints> = Api::all(client);
    let only = watcher::Config::default().labels(SERVICE_TYPE);
    let back_off = BackOff::new(config.back_off, config.max_back_off);
    let health = Health::new("endpoints", Arc::clone(&shared.counters));
    let take = |event, generation| shared.take(event, generation);
    follow(api, only, back_off, Arc::new(health), take).await;
}

impl Shared {
    fn take(&self, event: Event<RawEndpoints>, generation: u64) {
        match event {
            Event::Init => {}
            Event::InitApply(object) | Event::Apply(object) => {
                self.change(|state| state.table.apply(&object, generation));
            }
            Event::Delete(object) => self.change(|state| state.table.delete(&object)),
            Event::InitDone => {
                self.change(|state| {
                    state.table.sweep(generation);
                    state.is_synced = true;
                });
                self.synced.send_replace(true);
            }
        }
    }
}
