//! What an activator inside an existing Knative has to know: its Revisions, and settings of the
//! system namespace. Reads only what Knative's own activator may read.

mod driver;
mod revision;
mod settings;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kube::Client;
use tokio::sync::watch as signal;
use tokio_util::sync::{CancellationToken, DropGuard};
use zeron_backend_kubernetes::ServiceEndpoints;
use zeron_core::RouteSnapshot;

pub use settings::{
    Certificate, Network, RequestLog, SettingsError, follow_authorities, follow_certificate,
    follow_request_log,
};

/// Who is told of all Revisions, by one task and in order; must not block.
pub type PublishRevisions = Arc<dyn Fn(Arc<RouteSnapshot>) + Send + Sync>;

/// Follows the Revisions of a cluster for as long as it lives: each is a function that a data plane
/// may be asked for, and one whose replicas are looked for.
#[derive(Debug)]
pub struct Revisions {
    synced: signal::Receiver<bool>,
    _stop: DropGuard,
}

impl Revisions {
    /// Begins to follow. `publish` is first called when all were listed once; what `endpoints` has
    /// to know of them it is told afterwards.
    pub fn start(client: Client, endpoints: ServiceEndpoints, publish: PublishRevisions) -> Self {
        let (synced, is_synced) = signal::channel(false);
        let stop = CancellationToken::new();
        let driver = driver::Driver::new(endpoints, publish, synced);
        let follow = driver.run(client);
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
        Self {
            synced: is_synced,
            _stop: stop.drop_guard(),
        }
    }

    /// Waits until all were listed once and everybody was told of them.
    pub async fn synced(&self) {
        let mut synced = self.synced.clone();
        // An error means that the driver ended, which it does with this only.
        if synced.wait_for(|is_synced| *is_synced).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
