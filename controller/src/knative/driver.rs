//! Looks at each PodAutoscaler whenever something of it changed: hands it out, writes what is wanted.

mod io;
mod revision;
mod timers;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::stream::FuturesUnordered;
use tokio::sync::{broadcast, mpsc, watch as signal};
use tokio::time::Instant;
use tracing::info;
use zeron_core::ownership::Ownership;
use zeron_core::status::FunctionStatus;
use zeron_core::{FunctionId, Timestamp};
use zeron_frontend_knative::autoscaling::{PodAutoscaler, ServingConfig};

use super::children::{Children, Write};
use super::counters::Counters;
use super::entry::Entry;
use super::kind::{Key, Kind};
use super::plan::{Plan, is_owned};
use super::store::{Concerned, Store};
use super::watch::{Seen, scopes};
use super::{KnativeOptions, RevisionSink};
use crate::status::StatusWriter;
use io::{Probed, Written};
use revision::{hand_out, plan};
use timers::Timers;

/// What a driver works with.
pub(super) struct Parts {
    pub(super) options: KnativeOptions,
    pub(super) sink: Arc<dyn RevisionSink>,
    pub(super) ownership: signal::Receiver<Arc<Ownership>>,
    pub(super) children: Children,
    pub(super) statuses: Arc<StatusWriter>,
    pub(super) counters: Counters,
    pub(super) synced: signal::Sender<bool>,
    pub(super) config: signal::Sender<Arc<ServingConfig>>,
}

/// Owns what was read and what is remembered.
pub(super) struct Driver {
    parts: Parts,
    store: Store,
    entries: BTreeMap<Key, Entry>,
    /// To be looked at.
    dirty: BTreeSet<Key>,
    /// Lists for which the start waits.
    awaited: HashSet<(Kind, Option<String>)>,
    timers: Timers,
    writes: FuturesUnordered<Written>,
    probes: FuturesUnordered<Probed>,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Self {
        let awaited = Kind::ALL.into_iter().flat_map(|kind| {
            let scopes = scopes(kind, &parts.options);
            scopes.into_iter().map(move |scope| (kind, scope))
        });
        Self {
            awaited: awaited.collect(),
            parts,
            store: Store::default(),
            entries: BTreeMap::new(),
            dirty: BTreeSet::new(),
            timers: Timers::default(),
            writes: FuturesUnordered::new(),
            probes: FuturesUnordered::new(),
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Seen>,
        changes: Vec<broadcast::Receiver<FunctionId>>,
    ) {
        let mut changes = io::changes(changes);
        let mut owned = io::ticks(self.parts.ownership.clone());
        loop {
            self.wait(&mut inbox, &mut changes, &mut owned).await;
            // Whatever is there already is looked at once, together.
            for _ in 0..super::QUEUE {
                let Ok(seen) = inbox.try_recv() else { break };
                self.take(seen);
            }
            if self.is_synced() {
                for key in std::mem::take(&mut self.dirty) {
                    self.look_at(&key);
                }
                let owned = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
                self.parts.counters.owned.set(owned);
            }
        }
    }

    fn is_synced(&self) -> bool {
        self.awaited.is_empty()
    }

    fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Upsert(kind, key, object) => {
                let concerned = self.store.upsert(kind, key, object);
                self.concern(concerned);
            }
            Seen::Delete(kind, key) => {
                let concerned = self.store.delete(kind, &key);
                self.concern(concerned);
            }
            Seen::Listed {
                kind,
                namespace,
                keys,
            } => {
                for key in self.store.absent(kind, namespace.as_deref(), &keys) {
                    let concerned = self.store.delete(kind, &key);
                    self.concern(concerned);
                }
                self.listed(kind, namespace);
            }
        }
    }

    fn listed(&mut self, kind: Kind, namespace: Option<String>) {
        if self.awaited.remove(&(kind, namespace)) && self.is_synced() {
            info!(
                autoscalers = self.store.autoscalers.len(),
                "the objects of Knative are known"
            );
            self.configure();
            self.concern(Concerned::All);
            self.parts.synced.send_replace(true);
        }
    }

    fn concern(&mut self, concerned: Concerned) {
        match concerned {
            Concerned::Nobody => {}
            Concerned::These(keys) => self.dirty.extend(keys),
            Concerned::All => {
                if self.is_synced() && !Arc::ptr_eq(&self.parts.config.borrow(), &self.store.config)
                {
                    self.configure();
                }
                self.dirty.extend(self.store.autoscalers.keys().cloned());
                self.dirty.extend(self.entries.keys().cloned());
            }
        }
    }

    fn configure(&self) {
        self.parts.sink.configure(&self.store.config);
        self.parts
            .config
            .send_replace(Arc::clone(&self.store.config));
    }

    fn is_ours(&self, autoscaler: &PodAutoscaler) -> bool {
        autoscaler.is_kpa()
            && autoscaler.metadata.deletion_timestamp.is_none()
            && self
                .parts
                .ownership
                .borrow()
                .owns(&autoscaler.function_id())
    }

    /// Does what is to be done for a PodAutoscaler now.
    fn look_at(&mut self, key: &Key) {
        let found = self.store.autoscalers.get(key);
        let Some(autoscaler) = found.filter(|it| self.is_ours(it)) else {
            return self.let_go(key);
        };
        let uid = &autoscaler.metadata.uid;
        if self.entries.get(key).is_some_and(|entry| entry.uid != *uid) {
            self.let_go(key);
        }
        let Some(autoscaler) = self.store.autoscalers.get(key) else {
            return;
        };
        let entry = self.entries.entry(key.clone());
        let entry = entry.or_insert_with(|| Entry::new(autoscaler));
        let function = entry.function(autoscaler, &self.store.config);
        hand_out(&self.parts, &self.store, key, entry, &function);
        let status = self.parts.sink.status(&entry.id);
        let plan = plan(&self.store, key, &function, status.as_ref(), &self.parts);
        let Some(plan) = plan else { return };
        self.publish(key, &plan);
        self.write(key, &plan);
        self.probe(key, status.as_ref());
    }

    /// A PodAutoscaler that is gone, or not ours any more.
    fn let_go(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        self.timers.forget(key);
        if entry.told.is_some() {
            self.parts.sink.forget(&entry.id);
        }
        for kind in [Kind::PodAutoscaler, Kind::Metric] {
            self.parts.statuses.forget(&kind.object(key));
        }
    }

    fn publish(&mut self, key: &Key, plan: &Plan) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        // What waits to be written already keeps its times.
        let published = entry.published.take();
        entry.published = plan.status.clone().map(|mut status| {
            if let Some(published) = &published {
                status.keep_times(published);
            }
            status
        });
        let status = entry.published.as_ref().map(patch);
        let statuses = &self.parts.statuses;
        statuses.publish(Kind::PodAutoscaler.object(key), status);
        let status = plan.metric_status.as_ref().map(patch);
        statuses.publish(Kind::Metric.object(key), status);
    }

    /// Begins to write children, unless that is under way, or failed a moment ago.
    fn write(&mut self, key: &Key, plan: &Plan) {
        let service = Write::of(Kind::ServerlessService, key, &plan.service);
        let metric = Write::of(Kind::Metric, key, &plan.metric);
        let writes: Vec<Write> = service.into_iter().chain(metric).collect();
        let entry = self.entries.get_mut(key).map(|entry| &mut entry.writing);
        let Some(writing) = entry.filter(|it| !it.is_under_way && !writes.is_empty()) else {
            return;
        };
        let now = Instant::now();
        let again = match writing.not_before.filter(|at| *at > now) {
            Some(at) => at,
            None if self.writes.len() < io::MOST_WRITES => {
                writing.is_under_way = true;
                let children = self.parts.children.clone();
                self.writes.push(io::write(children, key.clone(), writes));
                return;
            }
            None => now + io::FULL_PAUSE,
        };
        self.timers.set(key, again);
    }

    /// Asks the public Service, if the engine wants to know and did not just hear.
    fn probe(&mut self, key: &Key, status: Option<&FunctionStatus>) {
        let is_wanted = status.and_then(|s| s.path.as_ref());
        let is_wanted = is_wanted.is_some_and(|path| path.is_probe_wanted);
        let autoscaler = self.store.autoscalers.get(key).filter(|_| is_wanted);
        let (Some(autoscaler), Some(entry)) = (autoscaler, self.entries.get_mut(key)) else {
            return;
        };
        let now = Instant::now();
        if entry.probe.is_under_way {
            return;
        }
        if let Some(at) = entry.probe.not_before.filter(|at| *at > now) {
            return self.timers.set(key, at);
        }
        if self.probes.len() >= io::MOST_PROBES {
            return self.timers.set(key, now + io::FULL_PAUSE);
        }
        let services = &self.store.services;
        let service = services.get(key).filter(|s| is_owned(autoscaler, *s));
        let service = service.map_or("", |s| &s.status.service_name);
        entry.probe.is_under_way = true;
        let probed = io::probe(&self.parts.options, key, service, autoscaler.protocol());
        self.probes.push(probed);
    }
}

fn patch<S: serde::Serialize>(status: &S) -> serde_json::Value {
    serde_json::json!({ "status": status })
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
