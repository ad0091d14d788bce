//! This process's share of the functions, told to the back end and the engine as it changes.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use zeron_autoscaler::Found;
use zeron_backend_kubernetes::ScaleTarget;
use zeron_backend_kubernetes::jobs::JobObject;
use zeron_backend_kubernetes::shards::{ShardSet, Shards};
use zeron_controller::follow::DeclaredSink;
use zeron_controller::projection::{Changes, Declared};
use zeron_core::Backend;

use super::autoscaler::Parts;
use super::ownership::{Ownership, Step};
use super::status::StatusKeeper;

/// Takes functions over and lets them go.
#[derive(Clone, Debug)]
pub(super) struct Share {
    parts: Parts,
    ownership: Arc<Mutex<Ownership>>,
    status: StatusKeeper,
    /// How many shards are held.
    count: Gauge,
}

/// Holds this process's shards until they are released.
#[derive(Debug)]
pub(super) struct Held {
    shards: Shards,
    following: JoinHandle<()>,
}

impl Share {
    pub(super) fn new(
        parts: &Parts,
        ownership: Arc<Mutex<Ownership>>,
        status: StatusKeeper,
    ) -> Self {
        Self {
            parts: parts.clone(),
            ownership,
            status,
            count: Gauge::default(),
        }
    }

    /// Adds how many shards there are, and how many of them are held here, to `registry`.
    pub(super) fn register(&self, shards: u32, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("zeron_autoscaler");
        let all = ConstGauge::new(i64::from(shards));
        registry.register("shards", "Shards by which functions are shared", all);
        let help = "Shards whose functions this autoscaler decides for";
        registry.register("shards_held", help, self.count.clone());
    }

    /// Takes functions as shards are won, and drops them before others may have them.
    /// What was sent for them is waited for.
    pub(super) fn follow(self, shards: Shards) -> Held {
        let backend = self.parts.backend.clone();
        let settled = move || {
            let backend = backend.clone();
            async move {
                backend.replicas.settled().await;
                backend.jobs.settled().await;
            }
        };
        let following = shards.follow(move |held| self.hold(held), settled);
        Held { shards, following }
    }

    fn hold(&self, held: &ShardSet) {
        tracing::info!(shards = ?held, "holding");
        self.count
            .set(i64::try_from(held.len()).unwrap_or(i64::MAX));
        let mut ownership = self.ownership.lock();
        for step in ownership.hold(held.clone()) {
            self.take(step);
        }
        let reported: Vec<_> = ownership.reported().map(|it| it.object.clone()).collect();
        drop(ownership);
        self.status.look_at(reported);
    }

    /// Under the ownership's lock: steps of one function never overtake each other.
    fn take(&self, step: Step) {
        match step {
            Step::Take(declared) => self.declare(&declared, true),
            Step::Update(declared) => self.declare(&declared, false),
            Step::Drop(id) => {
                self.parts.engine.remove(id.clone());
                self.parts.backend.remove(&id);
                self.parts.backend.jobs.forget(&id);
                self.parts.pods.forget(&id);
            }
        }
    }

    /// The pods first: the engine starts at the count that it finds.
    fn declare(&self, declared: &Declared, is_new: bool) {
        if let Some(job) = &declared.job {
            return self.declare_job(declared, job, is_new);
        }
        self.parts
            .pods
            .declare(ScaleTarget::clone(&declared.target));
        self.parts.backend.apply(Arc::clone(&declared.function));
        let function = Arc::clone(&declared.function);
        if is_new {
            let found = Found {
                last_active: declared.last_active,
                replicas: declared.target.replicas,
            };
            self.parts.engine.apply_found(function, found);
        } else {
            self.parts.engine.apply(function);
        }
        if let Some(count) = declared.target.replicas {
            let id = &declared.function.id;
            self.parts.engine.sink().declared(id, count);
        }
    }
}

impl Share {
    /// Its count is known when its Jobs are: nothing is decided before.
    fn declare_job(&self, declared: &Declared, job: &Arc<JobObject>, is_new: bool) {
        self.parts.backend.jobs.declare(Arc::clone(job));
        let function = Arc::clone(&declared.function);
        match is_new {
            true => self.parts.engine.apply_found(
                function,
                Found {
                    last_active: declared.last_active,
                    replicas: None,
                },
            ),
            false => self.parts.engine.apply(function),
        }
    }
}

impl DeclaredSink for Share {
    fn apply(&self, changes: Changes) {
        let reported: Vec<_> = changes.reports.iter().map(|it| it.object.clone()).collect();
        let forgotten = changes.forgotten.clone();
        let mut ownership = self.ownership.lock();
        for step in ownership.change(changes) {
            self.take(step);
        }
        drop(ownership);
        self.status.forget(&forgotten);
        self.status.look_at(reported);
    }
}

impl Held {
    /// Gives the shards to others, as soon as nothing is written for them any more.
    pub(super) async fn release(self) {
        self.shards.release().await;
        self.following.abort();
    }
}
