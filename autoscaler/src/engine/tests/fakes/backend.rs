//! A back end whose replicas are ready at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use zeron_core::{
    Backend, Endpoint, EndpointId, EndpointSink, EndpointSnapshot, Function, FunctionId, Timestamp,
};

use super::id;

#[derive(Debug, Default)]
pub(in super::super) struct FakeBackend {
    state: Mutex<BackendState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BackendState {
    sink: Option<Arc<dyn EndpointSink>>,
    asked: HashMap<FunctionId, Vec<u32>>,
    replicas: HashMap<FunctionId, Vec<EndpointId>>,
    /// Functions whose newest replicas go first, as the platform chooses.
    ordered: HashSet<FunctionId>,
    /// What is asked for cannot be taken back: it is being written.
    is_writing: bool,
    withdrawn: Vec<FunctionId>,
    next: u64,
}

impl FakeBackend {
    /// The platform chooses the replicas of `name` that go.
    pub(in super::super) fn order(&self, name: &str) {
        self.state.lock().ordered.insert(id(name));
    }

    /// Every count that was asked for.
    pub(in super::super) fn asked(&self, name: &str) -> Vec<u32> {
        let state = self.state.lock();
        state.asked.get(&id(name)).cloned().unwrap_or_default()
    }

    /// Waits for the first count that is asked for.
    pub(in super::super) fn wait_asked(&self, name: &str, timeout: Duration) -> Option<u32> {
        let mut state = self.state.lock();
        let is_missing = |state: &mut BackendState| !state.asked.contains_key(&id(name));
        self.changed.wait_while_for(&mut state, is_missing, timeout);
        state.asked.get(&id(name))?.first().copied()
    }

    /// The platform's own count, whoever wrote it.
    pub(in super::super) fn declare(&self, name: &str, count: u32) {
        let sink = self.state.lock().sink.clone();
        sink.unwrap().declared(&id(name), count);
    }

    /// Fewer replicas than were asked for: a quota.
    pub(in super::super) fn starve(&self, name: &str, runs: u32, pending: u32) {
        self.state.lock().resize(&id(name), runs, &[]);
        let state = self.state.lock();
        let replicas = state.replicas[&id(name)].iter();
        let snapshot = EndpointSnapshot {
            endpoints: replicas.map(|id| ready(*id)).collect(),
            pending,
            share: None,
            failure: Some(zeron_core::StartFailure {
                reason: "FailedCreate".to_owned(),
                message: "exceeded quota".to_owned(),
                at: Timestamp::EPOCH,
                retry_at: None,
                is_final: false,
            }),
        };
        let sink = state.sink.clone();
        drop(state);
        sink.unwrap().publish(&id(name), Some(Arc::new(snapshot)));
    }

    /// None runs, and says why not where it `failed` for good.
    pub(in super::super) fn fail(&self, name: &str, failed: bool) {
        let failure = zeron_core::StartFailure {
            reason: "CrashLoopBackOff".to_owned(),
            message: "exit code 3".to_owned(),
            at: Timestamp::EPOCH,
            retry_at: None,
            is_final: true,
        };
        let snapshot = EndpointSnapshot {
            endpoints: Vec::new(),
            pending: 0,
            share: None,
            failure: failed.then_some(failure),
        };
        let sink = self.state.lock().sink.clone();
        sink.unwrap().publish(&id(name), Some(Arc::new(snapshot)));
    }

    /// Whether what is asked for is being written, and cannot be taken back.
    pub(in super::super) fn write(&self, is_writing: bool) {
        self.state.lock().is_writing = is_writing;
    }

    /// How often what was asked for was taken back.
    pub(in super::super) fn withdrawn(&self, name: &str) -> usize {
        let state = self.state.lock();
        let withdrawn = state.withdrawn.iter();
        withdrawn.filter(|function| **function == id(name)).count()
    }

    /// Makes so many replicas run although nobody asked.
    pub(in super::super) fn run(&self, name: &str, count: u32) {
        self.state.lock().resize(&id(name), count, &[]);
    }
}

fn ready(id: EndpointId) -> Endpoint {
    Endpoint {
        id,
        address: None,
        is_ready: true,
        is_draining: false,
        probe: None,
        is_probe_needed: false,
        replicas: 1,
        shared_by: 1,
    }
}

impl BackendState {
    fn resize(&mut self, function: &FunctionId, count: u32, victims: &[EndpointId]) {
        let count = usize::try_from(count).unwrap();
        let replicas = self.replicas.entry(function.clone()).or_default();
        if replicas.len() > count {
            replicas.retain(|replica| !victims.contains(replica));
            replicas.truncate(count);
        }
        while replicas.len() < count {
            self.next += 1;
            replicas.push(EndpointId(self.next));
        }
        let endpoints = replicas.iter().map(|replica| ready(*replica));
        let snapshot = EndpointSnapshot {
            endpoints: endpoints.collect(),
            pending: 0,
            share: None,
            failure: None,
        };
        if let Some(sink) = &self.sink {
            sink.publish(function, Some(Arc::new(snapshot)));
        }
    }
}

impl Backend for FakeBackend {
    fn apply(&self, _: Arc<Function>) {}

    fn remove(&self, _: &FunctionId) {}

    fn scale(&self, function: &FunctionId, replicas: u32, victims: &[EndpointId]) {
        let mut state = self.state.lock();
        state
            .asked
            .entry(function.clone())
            .or_default()
            .push(replicas);
        state.resize(function, replicas, victims);
        self.changed.notify_all();
    }

    fn withdraw(&self, function: &FunctionId) -> bool {
        let mut state = self.state.lock();
        state.withdrawn.push(function.clone());
        !state.is_writing
    }

    fn predicted_victims(&self, function: &FunctionId, replicas: u32) -> Option<Vec<EndpointId>> {
        let state = self.state.lock();
        let all = state.replicas.get(function)?;
        let left = usize::try_from(replicas).unwrap();
        let is_ordered = state.ordered.contains(function);
        is_ordered.then(|| all.get(left..).unwrap_or_default().to_vec())
    }

    fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.state.lock().sink = Some(sink);
    }
}
