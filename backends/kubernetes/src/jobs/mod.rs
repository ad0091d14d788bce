//! Work as Jobs: what there is of them, made and deleted as ordered.
//!
//! Whoever takes a ScaledJob over lists its Jobs once: the watch may be behind. From then on a Job
//! counts from the moment in which its creation begins, so that one that the watch does not
//! show yet is never ordered twice. Only Jobs and pods with the label of a ScaledJob are watched.

mod event;
mod job;
mod object;
mod raw;
mod set;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch as channel};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use zeron_core::{EndpointSink, EndpointSnapshot, FunctionId, StartFailure};

use crate::api::Caller;
use crate::counters::Counters;
use crate::pods::wall;
use crate::scale::WriteFailure;

pub use event::JobEvent;
pub use object::JobObject;

use job::{Job, JobPod, function_of};
use raw::{RawJob, RawJobPod};
use set::{JobSet, JobSets};

/// For one request to the API server.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Events that a slow listener may be behind.
const EVENTS: usize = 256;
/// What Kubernetes' own controllers say of pods and Jobs that could not be created.
const FAILED_CREATE: &str = "FailedCreate";

/// All Jobs of ScaledJobs, and the making of them. Cheap to clone; ends with the last clone.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
    _tasks: Arc<[AbortOnDropHandle<()>; 2]>,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    /// There may be something to do.
    changed: Notify,
    /// Something that was under way ended.
    settled: Notify,
    synced: channel::Sender<bool>,
    events: broadcast::Sender<JobEvent>,
    caller: Caller,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    sets: JobSets,
    /// Those with something to do, now or later.
    busy: BTreeSet<FunctionId>,
    /// The one that had the last turn.
    last: Option<FunctionId>,
    sinks: Vec<Arc<dyn EndpointSink>>,
    /// Newest list by namespace; empty: of all.
    lists: HashMap<Arc<str>, u64>,
    has_jobs: bool,
    has_pods: bool,
}

impl Jobs {
    /// Starts watching and working on the current runtime. `namespaces`: only these; empty: all.
    pub fn start(client: Client, namespaces: Vec<String>, counters: Arc<Counters>) -> Self {
        let shared = Arc::new(Shared::new(Caller::new(client.clone(), counters, TIMEOUT)));
        let watching = tokio::spawn(watch::run(client, namespaces, Arc::clone(&shared)));
        let working = tokio::spawn(writer::run(Arc::clone(&shared)));
        Self {
            shared,
            _tasks: Arc::new([
                AbortOnDropHandle::new(watching),
                AbortOnDropHandle::new(working),
            ]),
        }
    }

    /// A ScaledJob is ours from now on, or changed. Sinks are told its counts as soon as they are
    /// known.
    pub fn declare(&self, object: Arc<JobObject>) {
        let id = object.id.clone();
        self.shared.put(&id, |set| set.declare(object));
        self.shared.changed.notify_one();
    }

    /// A ScaledJob is not ours any more: its Jobs stay, and no more are begun. Sinks are told.
    pub fn forget(&self, id: &FunctionId) {
        self.shared.change(id, |set, _| set.forget());
        for sink in &self.shared.state.lock().sinks {
            sink.publish(id, None);
        }
    }

    /// Makes Jobs until so many have been begun in all (`Backend::create_jobs` of the core).
    pub fn create(&self, id: &FunctionId, begun: u64) {
        self.shared.change(id, |set, _| set.order(begun));
        self.shared.changed.notify_one();
    }

    /// Tells `sink` of every change of what is ours. It is called under a lock: it must not call
    /// back.
    pub fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        let mut state = self.shared.state.lock();
        for set in state.sets.values_mut() {
            set.told = None;
        }
        state.sinks.push(sink);
        state.tell_all();
    }

    /// What happens from now on. A listener that is too slow misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<JobEvent> {
        self.shared.events.subscribe()
    }

    /// Returns when the first lists of Jobs and of their pods are complete.
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as we do.
        synced.wait_for(|is_synced| *is_synced).await.ok();
    }

    /// Returns once nothing is being made any more for ScaledJobs that were forgotten.
    pub async fn settled(&self) {
        loop {
            let settled = self.shared.settled.notified();
            tokio::pin!(settled);
            // Counts from here, not from the first poll.
            settled.as_mut().enable();
            let is_loose = self.shared.state.lock().sets.values().any(JobSet::is_loose);
            if !is_loose {
                return;
            }
            settled.await;
        }
    }
}

impl Shared {
    fn new(caller: Caller) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            settled: Notify::new(),
            synced: channel::Sender::new(false),
            events: broadcast::Sender::new(EVENTS),
            counters: Arc::clone(&caller.counters),
            caller,
        }
    }

    fn is_ours(&self, id: &FunctionId) -> bool {
        let state = self.state.lock();
        state.sets.get(id).is_some_and(|it| it.object.is_some())
    }

    fn tell(&self, event: JobEvent) {
        // Nobody listens: nobody misses it.
        self.events.send(event).ok();
    }

    /// Changes a set, which is made where there is none.
    fn put(&self, id: &FunctionId, change: impl FnOnce(&mut JobSet)) {
        let mut state = self.state.lock();
        change(state.sets.entry(id.clone()).or_default());
        self.after(&mut state, id);
    }

    /// Changes a set that there is; given the newest list of its namespace.
    fn change(&self, id: &FunctionId, change: impl FnOnce(&mut JobSet, u64)) {
        let mut state = self.state.lock();
        let list = state.list(id.namespace());
        if let Some(set) = state.sets.get_mut(id) {
            change(set, list);
            self.after(&mut state, id);
        }
    }

    /// Changes whichever set is chosen.
    fn change_any<T>(
        &self,
        change: impl FnOnce(&mut State) -> Option<(FunctionId, T)>,
    ) -> Option<T> {
        let mut state = self.state.lock();
        let (id, result) = change(&mut state)?;
        self.after(&mut state, &id);
        Some(result)
    }

    /// Tells what a change of a set means, before anybody can change it again.
    fn after(&self, state: &mut State, id: &FunctionId) {
        state.tell(id);
        let now = Instant::now();
        let Some(set) = state.sets.get_mut(id) else {
            return;
        };
        let created = set.take_created();
        let rolled_out = set.take_rolled_out();
        let (is_due, is_empty) = (set.due(now).is_some(), set.is_empty());
        match is_due {
            true => drop(state.busy.insert(id.clone())),
            false => drop(state.busy.remove(id)),
        }
        if is_empty {
            state.sets.remove(id);
        }
        if let Some(count) = created {
            self.tell(JobEvent::Created {
                id: id.clone(),
                count,
            });
        }
        if let Some(count) = rolled_out {
            self.tell(JobEvent::RolledOut {
                id: id.clone(),
                count,
            });
        }
        if is_due {
            self.changed.notify_one();
        }
    }

    // === from the watches ===

    fn list_begins(&self, namespace: Option<&Arc<str>>, list: u64) {
        let key = namespace.cloned().unwrap_or_else(|| "".into());
        self.state.lock().lists.insert(key, list);
    }

    fn put_job(&self, raw: &RawJob, list: u64) {
        if let (Some(id), Some((uid, job))) = (function_of(&raw.metadata), Job::read(raw, list)) {
            self.put(&id, |set| set.put(uid, job));
        }
    }

    fn remove_job(&self, raw: &RawJob) {
        if let Some((id, uid)) = named(&raw.metadata) {
            self.change(&id, |set, _| set.remove(uid));
        }
    }

    fn put_pod(&self, raw: &RawJobPod, list: u64) {
        if let (Some(id), Some((uid, pod))) = (function_of(&raw.metadata), JobPod::read(raw, list))
        {
            self.put(&id, |set| set.put_pod(uid, pod));
        }
    }

    fn remove_pod(&self, raw: &RawJobPod) {
        if let Some((id, uid)) = named(&raw.metadata) {
            self.change(&id, |set, _| set.remove_pod(uid));
        }
    }

    fn sweep(&self, namespace: Option<&str>, sweep: impl Fn(&mut JobSet)) {
        let mut state = self.state.lock();
        let is_there = |id: &&FunctionId| namespace.is_none_or(|it| it == id.namespace());
        let ids: Vec<_> = state.sets.keys().filter(is_there).cloned().collect();
        for id in ids {
            if let Some(set) = state.sets.get_mut(&id) {
                sweep(set);
                self.after(&mut state, &id);
            }
        }
    }

    fn listed(&self, mark: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        mark(&mut state);
        if state.is_synced() {
            state.tell_all();
            drop(state);
            self.synced.send_replace(true);
        }
    }
}

impl State {
    fn is_synced(&self) -> bool {
        self.has_jobs && self.has_pods
    }

    fn list(&self, namespace: &str) -> u64 {
        let list = self.lists.get(namespace).or_else(|| self.lists.get(""));
        list.copied().unwrap_or_default()
    }

    fn tell_all(&mut self) {
        let ids: Vec<_> = self.sets.keys().cloned().collect();
        for id in ids {
            self.tell(&id);
        }
    }

    /// Tells sinks what is so, if it is ours, known, and other than what was told last.
    fn tell(&mut self, id: &FunctionId) {
        if !self.is_synced() {
            return;
        }
        let is_known = |set: &&mut JobSet| set.object.is_some() && set.is_listed;
        let Some(set) = self.sets.get_mut(id).filter(is_known) else {
            return;
        };
        let newest = (set.counts(), set.failure.clone());
        if set.told.as_ref() == Some(&newest) {
            return;
        }
        let is_failure_new = set.told.as_ref().is_none_or(|(_, told)| *told != newest.1);
        let (counts, failure) = newest.clone();
        set.told = Some(newest);
        for sink in &self.sinks {
            sink.jobs(id, counts);
            if is_failure_new {
                let snapshot = EndpointSnapshot {
                    failure: failure.clone(),
                    ..EndpointSnapshot::default()
                };
                sink.publish(id, Some(Arc::new(snapshot)));
            }
        }
    }
}

/// Whose it is, and its UID.
fn named(metadata: &ObjectMeta) -> Option<(FunctionId, &str)> {
    Some((function_of(metadata)?, metadata.uid.as_deref()?))
}

/// A refusal as people are shown it.
fn start_failure(failure: &WriteFailure, retry_in: Duration) -> StartFailure {
    let now = wall();
    StartFailure {
        reason: FAILED_CREATE.to_owned(),
        message: format!("a Job could not be created: {}", failure.message),
        at: now,
        retry_at: Some(now + retry_in),
        is_final: false,
    }
}
