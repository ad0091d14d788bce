//! A back end with one function made of the test child, and a sink to follow it.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;
use zeron_backend_process::{KeeperCommand, ProcessBackend, ProcessConfig, ReplicaStatus};
use zeron_core::function::Protocol;
use zeron_core::workload::Port;
use zeron_core::{
    Backend, Endpoint, EndpointSink, EndpointSnapshot, Function, FunctionId, ObjectRef,
    StartFailure, Workload,
};

pub(crate) const CHILD: &str = env!("CARGO_BIN_EXE_zeron-test-child");
/// Longest wait for anything that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) backend: Arc<ProcessBackend>,
    pub(crate) followed: Arc<Followed>,
    pub(crate) dir: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ProcessConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keeper = KeeperCommand {
            program: CHILD.into(),
            args: vec!["keeper".into()],
        };
        let mut config = ProcessConfig::new(dir.path().into(), dir.path().into(), keeper);
        change(&mut config);
        let backend = ProcessBackend::start(config).unwrap();
        let followed = Arc::new(Followed::default());
        backend.subscribe(Arc::clone(&followed) as Arc<dyn EndpointSink>);
        Self {
            backend,
            followed,
            dir,
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) fn start(&self, function: Function, replicas: u32) -> FunctionId {
        let id = function.id.clone();
        self.backend.apply(Arc::new(function));
        self.backend.scale(&id, replicas, &[]);
        id
    }

    /// Starts `replicas` and waits until they are ready.
    pub(crate) fn up(&self, function: Function, replicas: u32) -> (FunctionId, Vec<Endpoint>) {
        let id = self.start(function, replicas);
        let snapshot = self.wait(&id, |s| s.ready() == replicas);
        (id, ready(&snapshot))
    }

    pub(crate) fn wait(
        &self,
        id: &FunctionId,
        until: impl Fn(&EndpointSnapshot) -> bool,
    ) -> Arc<EndpointSnapshot> {
        self.followed.wait(id, until)
    }

    pub(crate) fn failure(
        &self,
        id: &FunctionId,
        until: impl Fn(&StartFailure) -> bool,
    ) -> StartFailure {
        let snapshot = self
            .followed
            .find(id, |s| s.failure.as_ref().is_some_and(&until));
        snapshot.failure.clone().unwrap()
    }

    pub(crate) fn replicas(&self, id: &FunctionId) -> Vec<ReplicaStatus> {
        self.backend.replicas(id)
    }

    pub(crate) fn pids(&self, id: &FunctionId) -> Vec<u32> {
        self.replicas(id).iter().filter_map(|r| r.pid).collect()
    }
}

pub(crate) fn ready(snapshot: &EndpointSnapshot) -> Vec<Endpoint> {
    let ready = |e: &&Endpoint| e.is_ready && !e.is_draining;
    snapshot.endpoints.iter().filter(ready).cloned().collect()
}

/// The newest snapshot of each function, and everything that was published.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    newest: HashMap<FunctionId, Arc<EndpointSnapshot>>,
    all: Vec<(FunctionId, Option<Arc<EndpointSnapshot>>, Instant)>,
}

impl EndpointSink for Followed {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        let mut state = self.state.lock();
        let entry = (function.clone(), snapshot.clone(), Instant::now());
        state.all.push(entry);
        match snapshot {
            Some(snapshot) => state.newest.insert(function.clone(), snapshot),
            None => state.newest.remove(function),
        };
        self.changed.notify_all();
    }
}

impl Followed {
    pub(crate) fn wait(
        &self,
        id: &FunctionId,
        until: impl Fn(&EndpointSnapshot) -> bool,
    ) -> Arc<EndpointSnapshot> {
        self.wait_for(|state| {
            let newest = state.newest.get(id).ok_or("nothing yet")?;
            let found = until(newest).then(|| Arc::clone(newest));
            found.ok_or_else(|| format!("still {newest:#?}"))
        })
    }

    /// Waits for something that was published at any time: it may have been for a moment only.
    pub(crate) fn find(
        &self,
        id: &FunctionId,
        until: impl Fn(&EndpointSnapshot) -> bool,
    ) -> Arc<EndpointSnapshot> {
        self.wait_for(|state| {
            let published = state.all.iter().filter(|(function, _, _)| function == id);
            let mut published = published.filter_map(|(_, snapshot, _)| snapshot.as_ref());
            let found = published.find(|snapshot| until(snapshot)).map(Arc::clone);
            found.ok_or_else(|| "never published".to_owned())
        })
    }

    fn wait_for<T>(&self, look: impl Fn(&State) -> Result<T, String>) -> T {
        let mut state = self.state.lock();
        let is_missing = |state: &mut State| look(state).is_err();
        self.changed
            .wait_while_for(&mut state, is_missing, PATIENCE);
        look(&state).unwrap()
    }

    pub(crate) fn wait_removed(&self, id: &FunctionId) {
        self.wait_for(|state| {
            let is_gone = state.all.iter().any(|(f, s, _)| f == id && s.is_none());
            is_gone
                .then_some(())
                .ok_or_else(|| "not removed".to_owned())
        });
    }

    /// Everything published of `id`, with its moment.
    pub(crate) fn all(&self, id: &FunctionId) -> Vec<(Arc<EndpointSnapshot>, Instant)> {
        let state = self.state.lock();
        let of = |(f, s, at): &(FunctionId, Option<Arc<EndpointSnapshot>>, Instant)| {
            (f == id).then(|| Some((s.clone()?, *at))).flatten()
        };
        state.all.iter().filter_map(of).collect()
    }
}

/// A function whose replicas run the test child with `args`.
pub(crate) fn function(args: &[&str]) -> Function {
    named("f", args)
}

pub(crate) fn named(name: &str, args: &[&str]) -> Function {
    Function {
        workload: Workload {
            command: vec![CHILD.to_owned()],
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            port: Some(Port::Assigned),
            termination_grace: Duration::from_secs(10),
            start_deadline: Duration::from_secs(20),
            ..Workload::default()
        },
        ..Function::new(
            FunctionId::new("default", "Deployment", name),
            ObjectRef {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: "default".to_owned(),
                name: name.to_owned(),
            },
            Protocol::Http1,
        )
    }
}

/// What a replica answers to a request.
pub(crate) fn get(endpoint: &Endpoint) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(endpoint.address.unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
        .split("\r\n\r\n")
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

/// Whether a process runs; a zombie that nobody reaps does not.
pub(crate) fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// Waits for a condition of the world outside, which tells nobody when it changes.
pub(crate) fn eventually(what: &str, is_it: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_it() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub(crate) fn read_pid(path: &Path) -> u32 {
    let found = std::cell::Cell::new(None);
    eventually("a pid file", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        found.set(text.parse::<u32>().ok());
        found.get().is_some()
    });
    found.get().unwrap()
}
