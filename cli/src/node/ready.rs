//! Tells when a new revision has reached its initial scale.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use zeron_core::{EndpointSink, EndpointSnapshot, FunctionId};

use super::reconcile::Command;

/// Watches endpoint snapshots for revisions that wait for their first replicas.
#[derive(Debug)]
pub(crate) struct ReadyWatch {
    awaited: Mutex<HashMap<FunctionId, Awaited>>,
    commands: mpsc::Sender<Command>,
}

/// Ready replicas of one revision.
#[derive(Clone, Copy, Debug, Default)]
struct Awaited {
    needed: u32,
    seen: u32,
}

impl ReadyWatch {
    pub(crate) fn new(commands: mpsc::Sender<Command>) -> Arc<Self> {
        Arc::new(Self {
            awaited: Mutex::default(),
            commands,
        })
    }

    /// Waits for these functions, each with its number of ready replicas, and for no others; sends
    /// [`Command::Ready`] for each that has them. What was seen before counts.
    pub(crate) fn expect(&self, awaited: &[(FunctionId, u32)]) {
        let mut known = self.awaited.lock();
        let seen = |id| known.get(id).map_or(0, |a| a.seen);
        let next = awaited.iter().map(|(id, needed)| {
            let awaited = Awaited {
                needed: *needed,
                seen: seen(id),
            };
            (id.clone(), awaited)
        });
        let mut next: HashMap<FunctionId, Awaited> = next.collect();
        next.retain(|id, awaited| !self.tell(id, *awaited));
        *known = next;
    }

    /// True when the function is ready and its [`Command::Ready`] has been sent. A full queue keeps
    /// the entry: the next snapshot or plan tries again.
    fn tell(&self, function: &FunctionId, awaited: Awaited) -> bool {
        let ready = || Command::Ready(function.clone());
        awaited.seen >= awaited.needed && self.commands.try_send(ready()).is_ok()
    }
}

impl EndpointSink for ReadyWatch {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        let mut awaited = self.awaited.lock();
        let Some(entry) = awaited.get_mut(function) else {
            return;
        };
        entry.seen = snapshot.map_or(0, |s| s.ready());
        let entry = *entry;
        if self.tell(function, entry) {
            awaited.remove(function);
        }
    }
}
