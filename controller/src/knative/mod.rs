//! PodAutoscalers of an existing Knative: watched, handed to the engine, and what the engine asks written back.
//!
//! The engine decides and scales; here its asks become ServerlessServices, Metrics and statuses.
//! Only PodAutoscalers of class kpa whose bucket is ours are looked after. Nothing is written that is
//! there already, and nothing at all before everything was listed once.

mod children;
mod counters;
mod driver;
mod entry;
mod kind;
mod plan;
mod probe;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use prometheus_client::registry::Registry;
use tokio::sync::{broadcast, mpsc, watch as signal};
use tokio_util::sync::{CancellationToken, DropGuard};
use zeron_backend_kubernetes::ScaleTarget;
use zeron_core::ownership::Ownership;
use zeron_core::path::PathFacts;
use zeron_core::status::FunctionStatus;
use zeron_core::{Function, FunctionId};
use zeron_frontend_knative::autoscaling::{Collection, ServingConfig};

use crate::status::{StatusWriter, StatusWriterOptions};

use counters::Counters;

pub use probe::{AskForActivator, HttpProbe};

/// Events that may wait for the driver; watches wait when it is full.
const QUEUE: usize = 4_096;

/// Between two statuses of one object. Revisions become ready by them, with whoever waits for that.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Who acts on what PodAutoscalers mean: engine, back end and scraper. Called by one task, in order;
/// must not block.
pub trait RevisionSink: Send + Sync + fmt::Debug + 'static {
    /// A revision is ours now, or changed.
    fn apply(&self, revision: &Revision);

    /// What holds its replicas, or their count, is another than before.
    fn retarget(&self, target: &ScaleTarget);

    /// A revision is gone, or somebody else's from now on. Its replicas stay as they are.
    fn forget(&self, id: &FunctionId);

    /// What is seen of the path of its requests.
    fn observe_path(&self, id: &FunctionId, facts: PathFacts);

    /// How it is, and what the engine asks; `None`: the engine does not know it yet.
    fn status(&self, id: &FunctionId) -> Option<FunctionStatus>;

    /// How asking its pods for their load goes.
    fn collection(&self, id: &FunctionId) -> Collection;

    /// What Knative's ConfigMaps say now.
    fn configure(&self, config: &ServingConfig);
}

/// One revision that is ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// What the engine decides for.
    pub function: Arc<Function>,
    /// What its replicas are written to.
    pub target: ScaleTarget,
    /// How its pods are asked for their load; `None`: not yet, or activators see everything.
    pub scrape: Option<Scrape>,
    /// It was not ours before: the engine starts at what it finds.
    pub is_new: bool,
}

/// Where pods are asked for their load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// Pods older than this are asked first.
    pub stable_window: Duration,
    /// Host of the Service of the pods, such as `rev-private.ns`.
    pub service: Arc<str>,
}

/// Where Knative is, and how its Services are asked.
#[derive(Clone, Debug)]
pub struct KnativeOptions {
    /// The namespace of its ConfigMaps.
    pub system_namespace: String,
    /// Only PodAutoscalers of these namespaces; empty: all.
    pub namespaces: Vec<String>,
    /// The domain of Services, such as `cluster.local`.
    pub cluster_domain: String,
    /// Asks public Services whether an activator stands behind them.
    pub probe: Arc<dyn AskForActivator>,
    /// How often a kind that does not exist, or may not be read, is tried again.
    pub retry_missing: Duration,
}

impl Default for KnativeOptions {
    fn default() -> Self {
        Self {
            system_namespace: "knative-serving".to_owned(),
            namespaces: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            probe: Arc::new(HttpProbe),
            retry_missing: Duration::from_secs(10),
        }
    }
}

/// Looks after PodAutoscalers for as long as it lives.
#[derive(Debug)]
pub struct PodAutoscalers {
    synced: signal::Receiver<bool>,
    config: signal::Receiver<Arc<ServingConfig>>,
    counters: Counters,
    statuses: Arc<StatusWriter>,
    _stop: DropGuard,
}

impl PodAutoscalers {
    /// Begins. `ownership` says whose each PodAutoscaler is; `changes` name functions whose status, or
    /// whose collection, changed. Needs a running tokio runtime.
    pub fn start(
        client: Client,
        options: KnativeOptions,
        sink: Arc<dyn RevisionSink>,
        ownership: signal::Receiver<Arc<Ownership>>,
        changes: Vec<broadcast::Receiver<FunctionId>>,
    ) -> Self {
        let (events, inbox) = mpsc::channel(QUEUE);
        let (synced, is_synced) = signal::channel(false);
        let (told, config) = signal::channel(Arc::new(ServingConfig::default()));
        let stop = CancellationToken::new();
        watch::start(&client, &options, &events, &stop);
        let counters = Counters::default();
        let coalesced = StatusWriterOptions {
            interval: STATUS_INTERVAL,
            ..StatusWriterOptions::default()
        };
        let statuses = StatusWriter::start(client.clone(), coalesced);
        let statuses = Arc::new(statuses);
        let parts = driver::Parts {
            statuses: Arc::clone(&statuses),
            counters: counters.clone(),
            children: children::Children::new(client),
            options,
            sink,
            ownership,
            synced,
            config: told,
        };
        let run = driver::Driver::new(parts).run(inbox, changes);
        tokio::spawn(stop.clone().run_until_cancelled_owned(run));
        Self {
            synced: is_synced,
            config,
            counters,
            statuses,
            _stop: stop.drop_guard(),
        }
    }

    /// Registers what is counted: writes, probes, PodAutoscalers that are ours.
    pub fn register(&self, registry: &mut Registry) {
        self.counters.register(&self.statuses, registry);
    }

    /// Waits until everything was listed once; nothing is handed out or written before.
    pub async fn synced(&self) {
        let mut synced = self.synced.clone();
        // An error means that the driver ended, which it does with this handle only.
        if synced.wait_for(|is_synced| *is_synced).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What Knative's ConfigMaps say, as it changes.
    pub fn config(&self) -> signal::Receiver<Arc<ServingConfig>> {
        self.config.clone()
    }
}
