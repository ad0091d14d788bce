//! Watches a cluster's declared objects and drives the projection: lists and watches in, changes out.

mod custom;
mod driver;
mod lease;
pub(crate) mod raw;
mod references;
mod resource;
mod stale;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::{mpsc, watch as signal};
use tokio_util::sync::{CancellationToken, DropGuard};
use zeron_core::FunctionId;

use stale::StaleKinds;

use crate::projection::{Changes, Declared, ObjectKey, Projection, ProjectionOptions};

/// Who acts on what the declared objects mean. Called by one task, in order; must not block.
pub trait DeclaredSink: Send + Sync + fmt::Debug + 'static {
    /// What changed. The first time: everything.
    fn apply(&self, changes: Changes);
}

/// Which objects are followed, and how.
#[derive(Clone, Debug)]
pub struct FollowOptions {
    /// How they are read.
    pub projection: ProjectionOptions,
    /// Only these namespaces; empty: all.
    pub namespaces: Vec<String>,
    /// Only the lease of the KEDA in this namespace says whether KEDA lives; `None`: any that is seen.
    pub keda_namespace: Option<String>,
    /// Whether TriggerAuthentications, Secrets and ScaledJobs are read: a data plane has no use for
    /// them.
    pub reads_credentials: bool,
    /// How often Secrets and ConfigMaps that objects refer to are read again.
    pub refresh: Duration,
    /// How often a kind that does not exist, or may not be read, is tried again.
    pub retry_missing: Duration,
}

impl FollowOptions {
    /// All namespaces; credentials every 45 s; missing kinds every 10 s.
    pub fn new(projection: ProjectionOptions) -> Self {
        Self {
            projection,
            namespaces: Vec::new(),
            keda_namespace: None,
            reads_credentials: true,
            refresh: Duration::from_secs(45),
            retry_missing: Duration::from_secs(10),
        }
    }
}

/// Follows the declared objects of a cluster for as long as it lives.
#[derive(Debug)]
pub struct Follower {
    projection: Arc<Mutex<Projection>>,
    synced: signal::Receiver<bool>,
    stale: StaleKinds,
    _stop: DropGuard,
}

/// Events that may wait for the driver; watches wait when it is full.
const QUEUE: usize = 4_096;

impl Follower {
    /// Begins to follow. `sink` is first called when all kinds were listed once.
    pub fn start(client: &Client, options: FollowOptions, sink: Arc<dyn DeclaredSink>) -> Self {
        let projection = Arc::new(Mutex::new(Projection::new(options.projection.clone())));
        let (events, inbox) = mpsc::channel(QUEUE);
        let (synced, is_synced) = signal::channel(false);
        let stale = StaleKinds::default();
        let stop = CancellationToken::new();
        let context = driver::Context {
            client: client.clone(),
            options: Arc::new(options),
            events,
            stop: stop.clone(),
            stale: stale.clone(),
        };
        let driver = driver::Driver::new(context, Arc::clone(&projection), sink, synced);
        tokio::spawn(driver.run(inbox));
        Self {
            projection,
            synced: is_synced,
            stale,
            _stop: stop.drop_guard(),
        }
    }

    /// Adds what is known of kinds that cannot be read any more to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        self.stale.register(registry);
    }

    /// Waits until all kinds were listed and the sink has everything.
    pub async fn synced(&self) {
        let mut synced = self.synced.clone();
        // An error means that the driver ended, which it does with this follower only.
        if synced.wait_for(|is_synced| *is_synced).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether all kinds were listed.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// A function as it is declared now, with the newest `lastActiveTime`.
    pub fn declared(&self, function: &FunctionId) -> Option<Declared> {
        self.projection.lock().declared(function)
    }

    /// All functions that are declared now.
    pub fn functions(&self) -> Vec<Declared> {
        self.projection.lock().functions().cloned().collect()
    }

    /// What an object says, without what nobody reads.
    pub fn object(&self, key: &ObjectKey) -> Option<Value> {
        self.projection.lock().object(key)
    }

    /// Whether only labelled objects are ours now.
    pub fn is_labelled_only(&self) -> bool {
        self.projection.lock().is_labelled_only()
    }
}
