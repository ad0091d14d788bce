//! All pods of the cluster, trimmed, and from them the endpoints of every declared function.

mod config;
mod follow;
mod interner;
mod pod;
mod raw;
mod shape;
mod snapshot;
mod table;
mod trouble;
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch as channel};
use tokio_util::task::AbortOnDropHandle;
use zeron_core::{EndpointId, EndpointSink, FunctionId, Timestamp};

use crate::counters::Counters;
use crate::following::Health;
use crate::target::{LabelSelector, ScaleTarget};

pub use config::PodsConfig;
pub use follow::FollowedPod;
pub use pod::endpoint_id;
pub use trouble::Patience;

use follow::Followers;
pub(crate) use interner::Interner;
pub(crate) use pod::Pod;
use table::Publication;
pub(crate) use table::{CountChange, Table};

/// The pod watch and what is known from it. Cheap to clone; the watch ends with the last clone.
#[derive(Clone)]
pub struct Pods {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pods").finish_non_exhaustive()
    }
}

/// What the watch and the callers share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The earliest recheck may have moved.
    moved: Notify,
    synced: channel::Sender<bool>,
    health: Arc<Health>,
    pub(crate) counters: Arc<Counters>,
}

struct State {
    table: Table,
    followers: Followers,
    sinks: Vec<Arc<dyn EndpointSink>>,
    observer: Option<Weak<dyn TargetObserver>>,
    /// Publications in their order, for whoever publishes at the moment.
    outbox: Vec<Letter>,
    is_publishing: bool,
    is_synced: bool,
    /// When a snapshot changes with time alone.
    next: Option<Timestamp>,
}

/// Something to be published.
enum Letter {
    /// To everybody.
    All(Publication),
    /// To a new sink.
    One(Arc<dyn EndpointSink>, Vec<Publication>),
    /// A target was declared; its count may be another than was known.
    Declared(FunctionId, Option<CountChange>),
    /// These replicas stay after all.
    Kept(FunctionId, Vec<EndpointId>),
    /// What the platform holds, as far as is known.
    Count(FunctionId, u32),
}

/// Who is told of declared targets.
pub(crate) trait TargetObserver: Send + Sync {
    /// A target was declared. `change`: its count is not what was known.
    fn declared(&self, id: &FunctionId, change: Option<CountChange>);
}

/// A pod of a function, for those who choose among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// As others name it.
    pub id: EndpointId,
    /// The pod's name.
    pub name: Arc<str>,
    /// When it was created, by the cluster's clock.
    pub created: Timestamp,
    /// The platform says that it is ready.
    pub is_ready: bool,
    /// It is on its way out.
    pub is_draining: bool,
}

impl Pods {
    /// Starts the watch on the current runtime.
    pub fn start(client: Client, config: PodsConfig, counters: Arc<Counters>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                table: Table::new(config.patience),
                followers: Followers::default(),
                sinks: Vec::new(),
                observer: None,
                outbox: Vec::new(),
                is_publishing: false,
                is_synced: false,
                next: None,
            }),
            moved: Notify::new(),
            synced: channel::Sender::new(false),
            health: Arc::new(Health::new("pods", Arc::clone(&counters))),
            counters,
        });
        let task = tokio::spawn(watch::run(client, config, Arc::clone(&shared)));
        Self {
            shared,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    /// Declares a function's target, or replaces it. A count older than what is known is ignored.
    pub fn declare(&self, target: ScaleTarget) {
        let target = Arc::new(target);
        self.shared.change(|state| {
            let id = target.id.clone();
            let change = state.table.declare(target, wall());
            if state.observer.is_some() {
                state.outbox.push(Letter::Declared(id, change));
            }
        });
    }

    /// Forgets a function; sinks are told.
    pub fn forget(&self, id: &FunctionId) {
        self.shared.change(|state| {
            if state.table.forget(id) {
                state.outbox.push(Letter::All((id.clone(), None)));
            }
        });
    }

    /// Sends every change of every function's endpoints to `sink`, beginning with the state now.
    /// Nothing is sent before the first list of pods is complete: unknown is not zero.
    pub fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.shared.change(|state| {
            let now = state.table.published();
            state.sinks.push(Arc::clone(&sink));
            state.outbox.push(Letter::One(sink, now));
        });
    }

    /// Returns when the first list of pods is complete.
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as we do.
        synced.wait_for(|is_synced| *is_synced).await.ok();
    }

    /// Whether the first list of pods is complete.
    pub(crate) fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// For how long the watch has not shown what is in a namespace, once that is too long for what
    /// it showed before to count.
    pub(crate) fn stale_for(&self, namespace: &str) -> Option<Duration> {
        self.shared.health.stale_for(namespace)
    }

    /// The same of any namespace.
    pub(crate) fn stale_anywhere(&self) -> Option<Duration> {
        self.shared.health.stale_anywhere()
    }

    /// The namespaces of the pods at `address`, those on a node's network included, each once.
    pub(crate) fn namespaces_of(&self, address: IpAddr) -> Vec<Arc<str>> {
        self.shared.state.lock().table.namespaces_at(address)
    }

    /// The target of a function, as declared last.
    pub fn target(&self, id: &FunctionId) -> Option<Arc<ScaleTarget>> {
        self.shared.state.lock().table.target(id).cloned()
    }

    /// The pods of a function, those on their way out included.
    pub fn replicas(&self, id: &FunctionId) -> Vec<Replica> {
        let state = self.shared.state.lock();
        let replica = |pod: &pod::Pod| Replica {
            id: pod.id,
            name: Arc::clone(&pod.name),
            created: pod.created,
            is_ready: pod.is_ready,
            is_draining: pod.is_draining,
        };
        state.table.pods_of(id).map(replica).collect()
    }

    /// Follows pods by a selector of their own, such as our own components.
    pub fn follow(
        &self,
        namespace: &str,
        selector: LabelSelector,
    ) -> channel::Receiver<Arc<[FollowedPod]>> {
        let mut state = self.shared.state.lock();
        let State {
            followers, table, ..
        } = &mut *state;
        followers.add(namespace, selector, table)
    }

    /// The API server answered a request that was made at the time `asked` with this count.
    pub(crate) fn want(
        &self,
        id: &FunctionId,
        wanted: u32,
        version: Option<&str>,
        asked: Timestamp,
    ) {
        self.shared
            .change(|state| state.table.want(id, wanted, version, asked, wall()));
    }

    /// Replicas that were to stop stay after all; sinks are told.
    pub(crate) fn keep(&self, id: &FunctionId, replicas: Vec<EndpointId>) {
        if !replicas.is_empty() {
            let kept = Letter::Kept(id.clone(), replicas);
            self.shared.change(|state| state.outbox.push(kept));
        }
    }

    /// Tells sinks the count that is there, as far as is known.
    pub(crate) fn say_count(&self, id: &FunctionId) {
        self.shared.change(|state| {
            let count = state.table.wanted(id);
            let count = count.map(|count| Letter::Count(id.clone(), count));
            state.outbox.extend(count);
        });
    }

    /// The count asked for, as far as is known.
    pub fn wanted(&self, id: &FunctionId) -> Option<u32> {
        self.shared.state.lock().table.wanted(id)
    }

    /// Who writes counts is told of every declaration.
    pub(crate) fn observe(&self, observer: Weak<dyn TargetObserver>) {
        self.shared.state.lock().observer = Some(observer);
    }

    /// Reads pods of a function under the lock.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.shared.state.lock().table)
    }

    #[cfg(test)]
    pub(crate) fn without_watch() -> Self {
        let (config, counters) = (PodsConfig::default(), Arc::new(Counters::new()));
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                table: Table::new(config.patience),
                followers: Followers::default(),
                sinks: Vec::new(),
                observer: None,
                outbox: Vec::new(),
                is_publishing: false,
                is_synced: true,
                next: None,
            }),
            moved: Notify::new(),
            synced: channel::Sender::new(true),
            health: Arc::new(Health::new("pods", Arc::clone(&counters))),
            counters,
        });
        let task = tokio::spawn(std::future::pending());
        Self {
            shared,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    #[cfg(test)]
    pub(crate) fn interrupt(&self) {
        self.shared.health.interrupted(None);
    }

    #[cfg(test)]
    pub(crate) fn put(&self, pod: serde_json::Value) {
        let raw = serde_json::from_value(pod).expect("a pod");
        self.shared
            .change(|state| state.table.apply(&raw, 1, wall()));
    }
}

impl Shared {
    /// Changes the state and publishes what follows from it, in order. Sinks are called without
    /// the lock, by one caller at a time: a sink may call back.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.collect(wall());
        if state.next.is_some() {
            self.moved.notify_one();
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
            let observer = state.observer.clone();
            drop(state);
            for letter in letters {
                deliver(letter, &sinks, observer.as_ref());
            }
            state = self.state.lock();
        }
        state.is_publishing = false;
    }

    fn next_recheck(&self) -> Option<Timestamp> {
        self.state.lock().next
    }
}

impl State {
    fn collect(&mut self, now: Timestamp) {
        if !self.is_synced {
            return;
        }
        let (changed, next) = self.table.publications(now);
        self.outbox.extend(changed.into_iter().map(Letter::All));
        self.next = next;
    }
}

fn deliver(
    letter: Letter,
    sinks: &[Arc<dyn EndpointSink>],
    observer: Option<&Weak<dyn TargetObserver>>,
) {
    match letter {
        Letter::Declared(id, change) => {
            if let Some(observer) = observer.and_then(Weak::upgrade) {
                observer.declared(&id, change);
            }
        }
        Letter::All((id, snapshot)) => {
            for sink in sinks {
                sink.publish(&id, snapshot.clone());
            }
        }
        Letter::Kept(id, replicas) => {
            for sink in sinks {
                sink.kept(&id, &replicas);
            }
        }
        Letter::Count(id, count) => {
            for sink in sinks {
                sink.declared(&id, count);
            }
        }
        Letter::One(sink, publications) => {
            for (id, snapshot) in publications {
                sink.publish(&id, snapshot);
            }
        }
    }
}

/// The time now, by this machine's clock.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
