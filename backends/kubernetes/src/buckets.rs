//! Functions in Knative's buckets: the Leases, Services and EndpointSlices of its autoscaler, which
//! its replicas and ours hold and hand over to each other.

mod announce;
mod config;
mod keeper;
mod ordinals;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio_util::task::AbortOnDropHandle;
use zeron_core::{BucketSet, Ownership};

use crate::counters::Counters;

pub use config::{BucketsConfig, BucketsConfigError};
use keeper::Keeper;
pub use ordinals::Ordinals;

/// Taking part; ends when dropped, without a word to the others.
#[derive(Debug)]
pub struct Buckets {
    ownership: watch::Receiver<Arc<Ownership>>,
    release: Option<oneshot::Sender<()>>,
    task: AbortOnDropHandle<()>,
}

impl Buckets {
    /// Takes part in the election of every bucket's owner. An owner also sees to it that the
    /// bucket's Service leads to it.
    ///
    /// With [`ordinals`](BucketsConfig::ordinals) nothing is elected: the bucket of this replica's
    /// number is ours for as long as it runs.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn campaign(client: Client, config: BucketsConfig, counters: Arc<Counters>) -> Self {
        let (release, released) = oneshot::channel();
        let usable = config.ordinals.clone().filter(|it| it.own < config.count);
        let (ownership, task) = match usable {
            Some(ordinals) => {
                let (sender, ownership) = watch::channel(Arc::new(ordinals.ownership(&config)));
                (ownership, tokio::spawn(hold(sender, released)))
            }
            None => {
                let buckets = Arc::new(BucketSet::of_autoscaler(config.count));
                let (sender, ownership) = watch::channel(Arc::new(Ownership::unknown(buckets)));
                let keeper = Keeper::new(client, config, counters, sender);
                (ownership, tokio::spawn(keeper.run(released)))
            }
        };
        Self {
            ownership,
            release: Some(release),
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Who owns what. A bucket of ours that goes is gone from here before anybody else may have it.
    pub fn ownership(&self) -> watch::Receiver<Arc<Ownership>> {
        self.ownership.clone()
    }

    /// Gives everything back, so that successors need not wait.
    pub async fn release(mut self) {
        if let Some(release) = self.release.take() {
            // An error: it had ended already.
            release.send(()).ok();
            (&mut self.task).await.ok();
        }
    }
}

/// Keeps what cannot change published.
async fn hold(sender: watch::Sender<Arc<Ownership>>, released: oneshot::Receiver<()>) {
    // An error: dropped without release, and this with it.
    released.await.ok();
    sender.send_modify(|now| *now = Arc::new(now.without_us()));
}
