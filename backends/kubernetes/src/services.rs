//! Whose an address of the cluster is: the Services of all namespaces, watched, and the pods that are known anyway.

mod raw;
mod table;
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch as channel;
use tokio_util::task::AbortOnDropHandle;
use zeron_core::metric::{Unknown, UnknownKind};

use crate::counters::Counters;
use crate::following::{Health, unseen};
use crate::pods::Pods;
use table::Table;

/// The watch of Services and what is known from it. Cheap to clone; it ends with the last clone.
#[derive(Clone)]
pub struct Services {
    shared: Arc<Shared>,
    pods: Pods,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// What the watch and the callers share.
struct Shared {
    table: Mutex<Table>,
    synced: channel::Sender<bool>,
    health: Arc<Health>,
}

impl Services {
    /// Starts the watch on the current runtime. `pods` are to be those of all namespaces.
    pub fn start(client: Client, pods: Pods, counters: Arc<Counters>) -> Self {
        let shared = Arc::new(Shared {
            table: Mutex::default(),
            synced: channel::Sender::new(false),
            health: Arc::new(Health::new("services", counters)),
        });
        let task = tokio::spawn(watch::run(client, Arc::clone(&shared)));
        Self {
            shared,
            pods,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    /// Returns when the first list of Services is complete.
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as we do.
        synced.wait_for(|is_synced| *is_synced).await.ok();
    }

    /// The namespaces that have a Service or a pod at `address`, pods on a node's network included.
    ///
    /// # Errors
    /// `Transport` before the first lists are complete, and once a watch has been broken for too long for what it
    /// showed to count.
    pub fn namespaces_of(&self, address: IpAddr) -> Result<Vec<Arc<str>>, Unknown> {
        self.check()?;
        let mut namespaces = self.shared.table.lock().namespaces_of(address);
        namespaces.extend(self.pods.namespaces_of(address));
        namespaces.sort_unstable();
        namespaces.dedup();
        Ok(namespaces)
    }

    /// Whether all Services and pods are known.
    fn check(&self) -> Result<(), Unknown> {
        let is_synced = *self.shared.synced.borrow();
        let services = (is_synced, self.shared.health.stale_anywhere());
        let pods = (self.pods.is_synced(), self.pods.stale_anywhere());
        for (what, (is_listed, stale)) in [("Services", services), ("pods", pods)] {
            if !is_listed {
                return Err(Unknown {
                    kind: UnknownKind::Transport,
                    message: format!("the {what} are not listed yet"),
                });
            }
            if let Some(age) = stale {
                return Err(unseen(what, age));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
