//! The watch itself: list, follow, reconnect, and the clock for what changes with time alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, SelectAll, Stream, StreamExt};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use super::config::PodsConfig;
use super::health::{LIST_AFTER, LIST_WITHIN};
use super::raw::RawPod;
use super::{Shared, wall};
use crate::back_off::BackOff;

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
            Watch::new(api, &config, scope.namespace.clone(), Arc::clone(&shared))
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
            Event::Init => {
                self.generation += 1;
                shared.counters.relists.inc();
            }
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

/// The watcher, with pauses after errors. An expired watch (410) lists again by itself.
struct Watch {
    api: Api<RawPod>,
    only: watcher::Config,
    scope: Option<Arc<str>>,
    shared: Arc<Shared>,
    watcher: BoxStream<'static, watcher::Result<Event<RawPod>>>,
    back_off: BackOff,
    /// It was interrupted: when it is to list again, if nothing shows before that it goes on.
    list_at: Option<Instant>,
}

impl Watch {
    fn new(
        api: Api<RawPod>,
        config: &PodsConfig,
        scope: Option<Arc<str>>,
        shared: Arc<Shared>,
    ) -> Self {
        let mut only = watcher::Config::default();
        only.label_selector.clone_from(&config.labels);
        Self {
            watcher: watcher::watcher(api.clone(), only.clone()).boxed(),
            api,
            only,
            scope,
            shared,
            back_off: BackOff::new(config.back_off, config.max_back_off),
            list_at: None,
        }
    }

    fn events(self) -> impl Stream<Item = Event<RawPod>> + Send {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            Some((event, watch))
        })
    }

    async fn next(&mut self) -> Option<Event<RawPod>> {
        loop {
            let next = match self.list_at {
                None => self.watcher.next().await,
                Some(at) => match timeout_at(at, self.watcher.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.list_again();
                        continue;
                    }
                },
            };
            match next? {
                Ok(event) => {
                    self.heard(&event);
                    return Some(event);
                }
                Err(error) => self.interrupted(&error).await,
            }
        }
    }

    fn list_again(&mut self) {
        self.watcher = watcher::watcher(self.api.clone(), self.only.clone()).boxed();
        self.list_at = Some(Instant::now() + LIST_WITHIN);
    }

    fn heard(&mut self, event: &Event<RawPod>) {
        match event {
            // A list that only began proves nothing.
            Event::Init => {}
            // Neither does a part of it, but it goes on.
            Event::InitApply(_) => {
                self.back_off.reset();
                self.list_at = self.list_at.map(|_| Instant::now() + LIST_WITHIN);
            }
            Event::InitDone | Event::Apply(_) | Event::Delete(_) => {
                self.back_off.reset();
                if self.list_at.take().is_some() {
                    self.shared.health.restored(self.scope.as_ref());
                }
            }
        }
    }

    async fn interrupted(&mut self, error: &watcher::Error) {
        self.shared.counters.watch_errors.inc();
        self.shared.health.interrupted(self.scope.as_ref());
        let pause = self.back_off.next();
        report(error, self.back_off.failures(), pause);
        sleep(pause).await;
        self.list_at = Some(Instant::now() + LIST_AFTER);
    }
}

fn report(error: &watcher::Error, failures: u32, pause: Duration) {
    let mut causes = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes = format!("{causes}: {cause}");
        source = cause.source();
    }
    // A connection that ends is daily business; one that does not come back is not.
    match failures {
        0..=2 => debug!(error = causes, ?pause, "the pod watch was interrupted"),
        _ => warn!(error = causes, ?pause, failures, "the pod watch fails"),
    }
}
