//! The loop round [`decide`](crate::decide()): takes in wakes, load, endpoints and metrics, and steers the back end.
//!
//! One task owns every function's state, on a thread of its own, so that a cold start waits for
//! nothing else. Others hand it newest-wins messages and read snapshots.

mod clock;
mod drains;
mod entry;
mod history;
mod inbox;
mod jobs;
mod knative_metrics;
mod metrics;
mod outbox;
mod owned;
mod path;
mod poll;
mod pushed;
mod replicas;
mod reporters;
mod requests;
mod sources;
mod task;
#[cfg(test)]
mod tests;
mod timers;
mod view;

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use zeron_core::path::PathFacts;
use zeron_core::status::FunctionStatus;
use zeron_core::{
    Backend, Decision, EndpointSink, Function, FunctionId, ScalerRegistry, Timestamp,
};
use zeron_wire::AutoscalerLink;

pub use clock::{Clock, MonotonicClock};
pub use requests::{RequestWatch, Requests};

use inbox::Inbox;
use requests::RequestBook;
use task::Task;
use view::Views;

/// Settings of an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// What the platform can run of one function, whatever its policy allows; `None` = no limit.
    pub replica_cap: Option<u32>,
    /// Decisions remembered per function, allocated as they are made.
    pub history: usize,
    /// Where metric sources are polled; `None` = the runtime that starts the engine, or else the
    /// engine's own.
    pub poll_runtime: Option<tokio::runtime::Handle>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            replica_cap: Some(1_000),
            history: 128,
            poll_runtime: None,
        }
    }
}

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No runtime for its thread.
    #[error("cannot build the engine's runtime")]
    Runtime(#[source] std::io::Error),
    /// No thread.
    #[error("cannot start the engine's thread")]
    Thread(#[source] std::io::Error),
}

/// Decides for all functions of a node.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// Starts an engine on a thread of its own. It follows `backend`'s endpoints by itself.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(
        mut config: EngineConfig,
        backend: Arc<dyn Backend>,
        registry: Arc<dyn ScalerRegistry>,
        link: AutoscalerLink,
        clock: Arc<dyn Clock>,
    ) -> Result<EngineHandle, StartError> {
        if config.poll_runtime.is_none() {
            config.poll_runtime = tokio::runtime::Handle::try_current().ok();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StartError::Runtime)?;
        let (handle, run) = Self::prepare(&config, backend, registry, link, clock);
        std::thread::Builder::new()
            .name("zeron-engine".to_owned())
            .spawn(move || {
                let _visible = EndsVisibly;
                runtime.block_on(run);
            })
            .map_err(StartError::Thread)?;
        Ok(handle)
    }

    /// An engine as a future, for callers that have their own runtime (and clock).
    pub fn prepare(
        config: &EngineConfig,
        backend: Arc<dyn Backend>,
        registry: Arc<dyn ScalerRegistry>,
        link: AutoscalerLink,
        clock: Arc<dyn Clock>,
    ) -> (EngineHandle, impl Future<Output = ()> + Send + 'static) {
        let (changes, _) = broadcast::channel(view::CHANGES);
        let handle = EngineHandle {
            inbox: Arc::new(Inbox::default()),
            views: Arc::new(Views::default()),
            requests: Arc::new(RequestBook::new(Arc::clone(&clock))),
            changes,
            stop: CancellationToken::new(),
        };
        backend.subscribe(handle.sink());
        let task = Task::new(config, handle.clone(), backend, registry, link, clock);
        (handle, task.run())
    }
}

/// What is known of a function that another owner had before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// When anything last kept it above zero, as it was written down (`lastActiveTime`).
    pub last_active: Option<Timestamp>,
    /// The count that the platform holds; `None`: it is still to be learnt.
    pub replicas: Option<u32>,
}

/// Nothing scales without the engine: if its thread panics, the process ends rather than serve on
/// as if all were well.
struct EndsVisibly;

impl Drop for EndsVisibly {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the engine panicked");
            std::process::abort();
        }
    }
}

/// The way to a running engine. Cheap to clone; never waits for the engine.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    inbox: Arc<Inbox>,
    views: Arc<Views>,
    requests: Arc<RequestBook>,
    changes: broadcast::Sender<FunctionId>,
    stop: CancellationToken,
}

impl EngineHandle {
    /// Takes endpoint snapshots; the newest of a function counts.
    pub fn sink(&self) -> Arc<dyn EndpointSink> {
        Arc::clone(&self.inbox) as Arc<dyn EndpointSink>
    }

    /// Declares a function, or replaces its definition: what is known of it stays.
    pub fn apply(&self, function: Arc<Function>) {
        self.inbox.apply(function, None);
    }

    /// Takes over a function that was there before: after a restart, or from another owner.
    ///
    /// It starts at the count it finds and is not taken to zero before one full cooldown of this
    /// owner's own evidence. Nothing is decided until that count is known: from `found`, from
    /// [`EndpointSink::declared`], or from the function's first endpoint snapshot, which the back
    /// end owes even when there are no endpoints. Until then its wake-ups are not acknowledged, so
    /// that somebody who can see the count acts on them. A function that is here already is
    /// redefined, as by [`Self::apply`].
    pub fn apply_found(&self, function: Arc<Function>, found: Found) {
        self.inbox.apply(function, Some(found));
    }

    /// Forgets a function and takes its drains back. Its replicas are not touched.
    pub fn remove(&self, function: FunctionId) {
        self.inbox.remove(function);
    }

    /// What is seen of a function's switched request path
    /// ([`RequestPath::Serverless`](zeron_core::path::RequestPath)): the newest replaces what was
    /// said before. Nothing is scaled before the first. What is not applied is ignored.
    pub fn observe_path(&self, function: &FunctionId, facts: PathFacts) {
        self.inbox.observe_path(function, facts);
    }

    /// Waits until everything said so far is taken in, so that [`Self::list`] shows it; or until
    /// the engine is stopped.
    pub async fn taken_in(&self) {
        tokio::select! {
            // The engine says so by dropping its end.
            _ = self.inbox.taken_in() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// One function now.
    pub fn status(&self, function: &FunctionId) -> Option<FunctionStatus> {
        Some(self.views.get(function)?.status())
    }

    /// All functions now, sorted by id.
    pub fn list(&self) -> Vec<FunctionStatus> {
        let mut all: Vec<_> = self.views.all().iter().map(|view| view.status()).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The last decisions of a function, oldest first. Of decisions that repeat each other the
    /// first and the newest are kept.
    pub fn history(&self, function: &FunctionId) -> Vec<Arc<Decision>> {
        let view = self.views.get(function);
        view.map(|view| view.history()).unwrap_or_default()
    }

    /// Names every function whose status changed. Slow readers miss some and are told so.
    pub fn subscribe(&self) -> broadcast::Receiver<FunctionId> {
        self.changes.subscribe()
    }

    /// Requests of a function as activators report them, also of one that another autoscaler
    /// decides for.
    pub fn requests(&self, function: &FunctionId) -> Requests {
        self.requests.get(function)
    }

    /// Follows them.
    pub fn follow_requests(&self, function: &FunctionId) -> RequestWatch {
        self.requests.follow(function)
    }

    /// Registers the metrics of all functions.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        metrics::register(Arc::clone(&self.views), registry);
    }

    /// Ends the engine; replicas stay as they are.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}
