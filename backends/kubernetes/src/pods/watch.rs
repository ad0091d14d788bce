//! What the watch of pods changes in the table, and the clock for what changes with time alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, SelectAll, StreamExt};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::time::sleep;

use super::config::PodsConfig;
use super::raw::RawPod;
use super::{Shared, wall};
use crate::back_off::BackOff;
use crate::following::Watch;

/// One watch of several: a namespace, or everything.
struct Scope {
    namespace: Option<Arc<str>>,
    /// Counts full lists.
    generation: u64,
    is_listed: bool,
}

/// Follows pods until it is dropped.
pub(super) async fn run(client: Client, config: PodsConfig, shared: Arc<Shared>) {
    let mut scopes: Vec<Scope> = match config.namespaces.is_empty() {
        true => vec![Scope::new(None)],
        false => {
            let names = config.namespaces.iter();
            names
                .map(|name| Scope::new(Some(name.as_str().into())))
                .collect()
        }
    };
    let mut events: SelectAll<BoxStream<'static, (usize, Event<RawPod>)>> = scopes
        .iter()
        .enumerate()
        .map(|(index, scope)| {
            let api = match &scope.namespace {
                Some(namespace) => Api::namespaced(client.clone(), namespace),
                None => Api::all(client.clone()),
            };
            let mut only = watcher::Config::default();
            only.label_selector.clone_from(&config.labels);
            let back_off = BackOff::new(config.back_off, config.max_back_off);
            let (scope, health) = (scope.namespace.clone(), Arc::clone(&shared.health));
            Watch::new(api, only, back_off, scope, health)
                .events()
                .map(move |event| (index, event))
                .boxed()
        })
        .collect();
    loop {
        tokio::select! {
            event = events.next() => {
                let Some((index, event)) = event else { return };
                scopes[index].apply(event, &shared);
                if !shared.is_synced() && scopes.iter().all(|scope| scope.is_listed) {
                    shared.set_synced();
                }
            }
            () = recheck(&shared) => shared.change(|_| {}),
            () = shared.moved.notified() => {}
        }
    }
}

/// Waits until a snapshot changes with time alone.
async fn recheck(shared: &Shared) {
    match shared.next_recheck() {
        Some(at) => sleep(at.since(wall()) + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}

impl Scope {
    fn new(namespace: Option<Arc<str>>) -> Self {
        Self {
            namespace,
            generation: 1,
            is_listed: false,
        }
    }

    fn apply(&mut self, event: Event<RawPod>, shared: &Shared) {
        shared.counters.pod_events.inc();
        let generation = self.generation;
        match event {
            Event::Init => self.generation += 1,
            Event::InitApply(pod) | Event::Apply(pod) => shared.change(|state| {
                state.table.apply(&pod, generation, wall());
                state.followers.refresh(&pod, &state.table);
            }),
            Event::Delete(pod) => shared.change(|state| {
                state.table.delete(&pod);
                state.followers.refresh(&pod, &state.table);
            }),
            Event::InitDone => {
                self.is_listed = true;
                shared.change(|state| {
                    state.table.sweep(self.namespace.as_deref(), generation);
                    state.followers.refresh_all(&state.table);
                });
            }
        }
        let pods = shared.state.lock().table.len();
        shared
            .counters
            .pods
            .set(i64::try_from(pods).unwrap_or(i64::MAX));
    }
}

impl Shared {
    fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    fn set_synced(&self) {
        self.change(|state| state.is_synced = true);
        self.synced.send_replace(true);
    }
}
