//! Replicas behind Services that Knative keeps: their core/v1 Endpoints, watched, as the snapshots
//! that a data plane reads. Pods themselves need not be readable.
//!
//! Each revision has two Services. The private one's Endpoints are its pods, ready or not; where a
//! mesh lets nobody reach pods, its one address stands for all of them. The public one's Endpoints
//! say which activators are in the path of the revision, and so which part of its pods is ours.
//!
//! What is compatible with what: `pkg/activator/net` of knative/serving v0.51.

mod config;
mod raw;
mod service;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch as channel};
use tokio_util::task::AbortOnDropHandle;
use zeron_core::{EndpointSink, EndpointSnapshot, FunctionId};

use crate::counters::Counters;

pub use config::{EndpointsConfig, MeshCompatibility, RevisionTarget};
use table::Table;

/// The watch of Endpoints and what is known from it. Cheap to clone; it ends with the last clone.
#[derive(Clone)]
pub struct ServiceEndpoints {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl fmt::Debug for ServiceEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceEndpoints").finish_non_exhaustive()
    }
}

/// What the watch and the callers share.
struct Shared {
    state: Mutex<State>,
    synced: channel::Sender<bool>,
    /// Somebody refuses our probes, or an address is wanted.
    doubt: Notify,
    counters: Arc<Counters>,
}

struct State {
    table: Table,
    sinks: Vec<Arc<dyn EndpointSink>>,
    outbox: Vec<Letter>,
    is_publishing: bool,
    is_synced: bool,
    /// Revisions whose pods refuse probes.
    refused: BTreeSet<FunctionId>,
}

/// A function's endpoints as they are now; `None`: it is forgotten.
type Publication = (FunctionId, Option<Arc<EndpointSnapshot>>);

/// Something to be published: to everybody, or to one who is new.
enum Letter {
    All(Publication),
    One(Arc<dyn EndpointSink>, Vec<Publication>),
}

impl ServiceEndpoints {
    /// Starts the watch on the current runtime.
    pub fn start(client: Client, config: EndpointsConfig, counters: Arc<Counters>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                table: Table::new(&config),
                sinks: Vec::new(),
                outbox: Vec::new(),
                is_publishing: false,
                is_synced: false,
                refused: BTreeSet::new(),
            }),
            synced: channel::Sender::new(false),
            doubt: Notify::new(),
            counters,
        });
        let follow = watch::run(client.clone(), config.clone(), Arc::clone(&shared));
        let find = service::run(client, config, Arc::clone(&shared));
        let task = tokio::spawn(async { tokio::join!(follow, find) });
        let task = tokio::spawn(async move {
            // Aborted with this one.
            AbortOnDropHandle::new(task).await.ok();
        });
        Self {
            shared,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    /// Declares a revision, or replaces what was declared.
    pub fn declare(&self, revision: RevisionTarget) {
        self.shared.change(|state| state.table.declare(revision));
    }

    /// Forgets a revision; sinks are told.
    pub fn forget(&self, id: &FunctionId) {
        self.shared.change(|state| {
            state.refused.remove(id);
            if state.table.forget(id) {
                state.outbox.push(Letter::All((id.clone(), None)));
            }
        });
    }

    /// Sends every change of every declared revision's endpoints to `sink`, beginning with the
    /// state now. Nothing is sent before the first list is complete: unknown is not zero.
    pub fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.shared.change(|state| {
            let now = state.table.published();
            state.sinks.push(Arc::clone(&sink));
            state.outbox.push(Letter::One(sink, now));
        });
    }

    /// Returns when the first list is complete.
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as we do.
        synced.wait_for(|is_synced| *is_synced).await.ok();
    }

    /// The pods of a revision refuse our probes although they are ready: a mesh may be in between.
    /// Where its Service does answer, that is the way from then on.
    pub fn refused(&self, id: &FunctionId) {
        if self.shared.state.lock().refused.insert(id.clone()) {
            self.shared.doubt.notify_one();
        }
    }
}

impl Shared {
    /// Changes the state and publishes what follows from it, in order. Sinks are called without
    /// the lock, by one caller at a time: a sink may call back.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.collect();
        if state.table.wants_addresses() {
            self.doubt.notify_one();
        }
        if state.is_publishing {
            return;
        }
        state.is_publishing = true;
        loop {
            let letters = std::mem::take(&mut state.outbox);
            if letters.is_empty() {
                break;
            }
            let sinks = state.sinks.clone();
            drop(state);
            for letter in letters {
                deliver(letter, &sinks);
            }
            state = self.state.lock();
        }
        state.is_publishing = false;
    }
}

impl State {
    fn collect(&mut self) {
        if self.is_synced {
            let changed = self.table.publications();
            self.outbox.extend(changed.into_iter().map(Letter::All));
        }
    }
}

fn deliver(letter: Letter, sinks: &[Arc<dyn EndpointSink>]) {
    match letter {
        Letter::All((id, snapshot)) => {
            for sink in sinks {
                sink.publish(&id, snapshot.clone());
            }
        }
        Letter::One(sink, publications) => {
            for (id, snapshot) in publications {
                sink.publish(&id, snapshot);
            }
        }
    }
}
