//! How a function's replicas are reached: by their own addresses or, where a mesh refuses those, all
//! together by the address of their Service.
//!
//! Stands between the pod watch and whoever uses its snapshots. What is lost on the way through a
//! Service: who gets a request is not ours to say, so a limit holds for all replicas together only,
//! and one that is about to stop gets requests until the platform takes it out.

mod args;
mod ask;
#[cfg(test)]
mod tests;
mod way;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use zeron_controller::follow::DeclaredSink;
use zeron_controller::projection::{Changes, MeshMode};
use zeron_core::roles::EndpointSink;
use zeron_core::{EndpointSnapshot, FunctionId};

pub(crate) use args::MeshArgs;

use ask::{Answer, ask};
use way::{Next, Verdict, Way};

/// Functions whose replicas are asked at once.
const AT_ONCE: usize = 32;
/// How often replicas are asked until it is decided, about 8 s in all: the platform leads a Service
/// to a new replica a moment after it calls that ready.
const ROUNDS: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Of a function that is reached through its Service, or of which it is not known: how often its
/// replicas are asked again.
const AGAIN: Duration = Duration::from_secs(60);

/// Sends snapshots on, with the Service's address where that is the way. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reach(Arc<Shared>);

struct Shared {
    mode: MeshMode,
    next: Arc<dyn EndpointSink>,
    /// Is told of functions whose way is another one now.
    on_switch: Box<dyn Fn(&FunctionId) + Send + Sync>,
    ways: Mutex<HashMap<FunctionId, Way>>,
    room: Semaphore,
    runtime: Handle,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("mode", &self.0.mode)
            .field("next", &self.0.next)
            .finish_non_exhaustive()
    }
}

impl Reach {
    /// Sends on to `next`, in this mode where a function's objects do not name one.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn new(
        mode: MeshMode,
        next: Arc<dyn EndpointSink>,
        on_switch: impl Fn(&FunctionId) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            mode,
            next,
            on_switch: Box::new(on_switch),
            ways: Mutex::default(),
            room: Semaphore::new(AT_ONCE),
            runtime: Handle::current(),
        }))
    }

    /// Takes in what is declared, then hands it to `next`, which tells the pod watch.
    pub(super) fn before(&self, next: Arc<dyn DeclaredSink>) -> Arc<dyn DeclaredSink> {
        let reach = self.clone();
        Arc::new(Declaring { reach, next })
    }

    fn declare(&self, changes: &Changes) {
        for id in &changes.removed {
            self.change(id, |way| way.declare(MeshMode::Disabled, None));
        }
        for declared in &changes.applied {
            let mode = declared.mesh.unwrap_or(self.0.mode);
            self.change(&declared.function.id, |way| {
                way.declare(mode, declared.service);
            });
        }
    }

    /// Whether the function is reached through its Service.
    pub(super) fn is_through_service(&self, function: &FunctionId) -> bool {
        let ways = self.0.ways.lock();
        ways.get(function).is_some_and(Way::is_through_service)
    }

    /// Changes what is known of a function, and sends on what follows from it. All under one lock, so
    /// that older snapshots never come after newer ones.
    fn change(&self, function: &FunctionId, change: impl FnOnce(&mut Way)) {
        let mut ways = self.0.ways.lock();
        let way = ways.entry(function.clone()).or_default();
        let before = way.is_through_service();
        change(way);
        let is_switched = way.is_through_service() != before;
        if let Some(snapshot) = way.outgoing() {
            self.0.next.publish(function, Some(snapshot));
        }
        self.ask_if_needed(function, way);
        if way.is_forgotten() {
            ways.remove(function);
        }
        drop(ways);
        if is_switched {
            (self.0.on_switch)(function);
        }
    }

    fn ask_if_needed(&self, function: &FunctionId, way: &mut Way) {
        let wait = match way.next() {
            Next::Nothing => return,
            Next::Ask => Duration::ZERO,
            Next::AskAgain => AGAIN,
        };
        let (reach, function) = (self.clone(), function.clone());
        let task = self.0.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            let verdict = reach.judge(&function).await;
            reach.change(&function, |way| way.decide(verdict));
        });
        way.asks(task.abort_handle());
    }

    /// What the replicas and the Service answer; `None`: nothing that would decide it.
    async fn judge(&self, function: &FunctionId) -> Option<Verdict> {
        let mut pause = FIRST_PAUSE;
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            // It is never closed.
            let _place = self.0.room.acquire().await.ok();
            let asked = self.0.ways.lock().get(function).and_then(Way::asked);
            let (replicas, service) = asked?;
            let answers = join_all(replicas.into_iter().map(ask)).await;
            if answers.iter().any(|it| *it != Answer::Refused) {
                return Some(Verdict::Replicas);
            }
            if ask(service).await == Answer::Given {
                let name = service.to_string();
                tracing::warn!(%function, service = name, "pods refuse us, as in a mesh: reached through their Service");
                return Some(Verdict::Service);
            }
        }
        None
    }
}

impl EndpointSink for Reach {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        let is_gone = snapshot.is_none();
        self.change(function, |way| way.observe(snapshot));
        if is_gone {
            self.0.next.publish(function, None);
        }
    }

    fn declared(&self, function: &FunctionId, replicas: u32) {
        self.0.next.declared(function, replicas);
    }
}

/// See [`Reach::before`].
#[derive(Debug)]
struct Declaring {
    reach: Reach,
    next: Arc<dyn DeclaredSink>,
}

impl DeclaredSink for Declaring {
    fn apply(&self, changes: Changes) {
        self.reach.declare(&changes);
        self.next.apply(changes);
    }
}

/// For who only wants to know the way.
#[derive(Debug)]
pub(super) struct Unused;

impl EndpointSink for Unused {
    fn publish(&self, _: &FunctionId, _: Option<Arc<EndpointSnapshot>>) {}
}

/// An address that stands for replicas: it is told from theirs by its own.
fn digest(address: SocketAddr) -> u64 {
    let text = address.to_string();
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
