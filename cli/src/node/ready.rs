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
    awaited: Mutex<HashMap<FunctionId, u32>>,
    commands: mpsc::Sender<Command>,
}

impl ReadyWatch {
    pub(crate) fn new(commands: mpsc::Sender<Command>) -> Arc<Self> {
        Arc::new(Self {
            awaited: Mutex::default(),
            commands,
        })
    }

    /// Waits for `replicas` ready replicas of `function`; sends [`Command::Ready`] then, once.
    pub(crate) fn expect(&self, function: FunctionId, replicas: u32) {
        self.awaited.lock().insert(function, replicas);
    }
}

impl EndpointSink for ReadyWatch {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        let mut awaited = self.awaited.lock();
        let Some(&needed) = awaited.get(function) else {
            return;
        };
        let ready = snapshot.map_or(0, |s| s.ready());
        // A full queue keeps the entry: the next snapshot tries again.
        if ready >= needed
            && self
                .commands
                .try_send(Command::Ready(function.clone()))
                .is_ok()
        {
            awaited.remove(function);
        }
    }
}
