//! Which buckets are ours: none before we take part, then whatever the Leases say.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use zeron_backend_kubernetes::buckets::Buckets;
use zeron_core::{BucketSet, Ownership};

/// What everybody reads; it is there before the election is.
#[derive(Debug)]
pub(super) struct Owned(watch::Sender<Arc<Ownership>>);

impl Owned {
    /// Nothing is ours, and nobody is known.
    pub(super) fn nothing(buckets: u32) -> Self {
        let unknown = Ownership::unknown(Arc::new(BucketSet::of_autoscaler(buckets)));
        Self(watch::channel(Arc::new(unknown)).0)
    }

    /// What is ours, as it changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Ownership>> {
        self.0.subscribe()
    }

    /// Follows the election for as long as the handle lives.
    pub(super) fn follow(self, buckets: &Buckets) -> AbortOnDropHandle<()> {
        let mut news = buckets.ownership();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let now = Arc::clone(&news.borrow_and_update());
                self.0.send_replace(now);
                if news.changed().await.is_err() {
                    return;
                }
            }
        }))
    }
}
