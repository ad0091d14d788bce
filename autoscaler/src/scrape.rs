//! Load that replicas say themselves: Knative's queue-proxies, asked once a second.
//!
//! Source: knative/serving `pkg/autoscaler/metrics`. One task asks for all functions, each at its
//! own tenth of the second; some replicas speak for all of a function's. What is at zero costs
//! nothing.

mod durations;
mod fetch;
mod round;
mod sampling;
mod state;
mod task;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use zeron_core::{EndpointSink, EndpointSnapshot, FunctionId};
use zeron_wire::ToAutoscaler;

use crate::engine::Clock;
pub(crate) use round::REPORTER;
use state::State;

/// Where queue-proxies say their load.
pub const PORT: u16 = 9_090;
/// Changed outcomes that a slow subscriber may be behind.
const CHANGES: usize = 1_024;

/// Settings of a [`Scraper`].
#[derive(Clone, Copy, Debug)]
pub struct ScraperConfig {
    /// Port of a replica that says its load; queue-proxy's is [`PORT`].
    pub port: u16,
    /// Whether replicas can be addressed.
    pub mode: MeshCompatibility,
}

impl Default for ScraperConfig {
    fn default() -> Self {
        Self {
            port: PORT,
            mode: MeshCompatibility::Auto,
        }
    }
}

/// `mesh-compatibility-mode` of `config-network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeshCompatibility {
    /// Replicas, unless all of them answer as a mesh does that lets none be addressed.
    #[default]
    Auto,
    /// Only through the private Service.
    Enabled,
    /// Only replicas.
    Disabled,
}

/// A function that is scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeTarget {
    /// Younger replicas are asked only where the older are not enough.
    pub stable_window: Duration,
    /// Host name of the private Service, `<revision>-private.<namespace>`.
    pub service: Arc<str>,
    /// The Service of Knative's that it is a Revision of, for metrics; empty: of none.
    pub owner: Arc<str>,
}

/// How the newest scrape of a function went: the condition `Ready` of its `Metric`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScrapeOutcome {
    /// Well, or there was nobody to ask.
    #[default]
    Collected,
    /// `DidNotReceiveStat`: too few different replicas answered behind the Service.
    NoStat,
    /// `CollectionFailed`.
    Failed(Arc<str>),
}

/// Asks replicas for their load.
#[derive(Debug)]
pub struct Scraper;

impl Scraper {
    /// Starts asking, in a task of the current runtime. Samples go to `samples`, the engine's link;
    /// what has no room there is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        config: ScraperConfig,
        samples: mpsc::Sender<ToAutoscaler>,
        clock: Arc<dyn Clock>,
    ) -> ScraperHandle {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(config.mode)),
            changed: Notify::new(),
            outcomes: broadcast::channel(CHANGES).0,
            stop: CancellationToken::new(),
        });
        let task = task::Task::new(config.port, Arc::clone(&shared), samples, clock);
        tokio::spawn(task.run());
        ScraperHandle { shared }
    }
}

/// What the scraper's task and its handles share.
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    outcomes: broadcast::Sender<FunctionId>,
    stop: CancellationToken,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The way to a running scraper. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ScraperHandle {
    shared: Arc<Shared>,
}

impl ScraperHandle {
    /// Takes endpoint snapshots: ready replicas with an address are asked. How old they are counts
    /// from the first snapshot that had them.
    pub fn sink(&self) -> Arc<dyn EndpointSink> {
        Arc::clone(&self.shared) as Arc<dyn EndpointSink>
    }

    /// Scrapes `function` from now on, or by another target.
    pub fn watch(&self, function: &FunctionId, target: ScrapeTarget) {
        self.shared.state.lock().watch(function, target);
        self.shared.changed.notify_one();
    }

    /// Scrapes it no longer.
    pub fn forget(&self, function: &FunctionId) {
        self.shared.state.lock().forget(function);
    }

    /// Changes how replicas are reached. What was found out about a mesh is forgotten.
    pub fn set_mode(&self, mode: MeshCompatibility) {
        self.shared.state.lock().set_mode(mode);
    }

    /// How the newest scrape went; `None`: it is not scraped.
    pub fn outcome(&self, function: &FunctionId) -> Option<ScrapeOutcome> {
        self.shared.state.lock().outcome(function)
    }

    /// Makes how long scrapes take a metric of `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let durations = durations::ScrapeDurations(Arc::clone(&self.shared));
        registry.register_collector(Box::new(durations));
    }

    /// Names every function whose outcome changed. Slow readers miss some and are told so.
    pub fn subscribe(&self) -> broadcast::Receiver<FunctionId> {
        self.shared.outcomes.subscribe()
    }

    /// Ends the scraper.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }
}

impl EndpointSink for Shared {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        self.state.lock().publish(function, snapshot.as_deref());
        self.changed.notify_one();
    }
}
