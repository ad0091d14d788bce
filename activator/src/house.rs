//! What all functions of one activator share: the byte budget, the list of those with load, and
//! the way to the autoscaler.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use zeron_wire::ToAutoscaler;

use crate::budget::Budget;
use crate::function::FunctionState;

/// Shared by all functions.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) budget: Budget,
    /// Functions that had load since the last report.
    active: Mutex<Vec<Arc<FunctionState>>>,
    autoscaler: mpsc::Sender<ToAutoscaler>,
}

impl House {
    pub(crate) fn new(max_queued_bytes: u64, autoscaler: mpsc::Sender<ToAutoscaler>) -> Self {
        Self {
            budget: Budget::new(max_queued_bytes),
            active: Mutex::default(),
            autoscaler,
        }
    }

    /// Sends without waiting; `false` when the link is full or gone. Senders repeat what must not
    /// be lost at the next report.
    pub(crate) fn tell(&self, message: ToAutoscaler) -> bool {
        self.autoscaler.try_send(message).is_ok()
    }

    pub(crate) fn list(&self, function: Arc<FunctionState>) {
        self.active.lock().push(function);
    }

    /// Takes the list; the caller puts back what stays active.
    pub(crate) fn take_active(&self) -> Vec<Arc<FunctionState>> {
        std::mem::take(&mut *self.active.lock())
    }

    pub(crate) fn put_back(&self, mut still_active: Vec<Arc<FunctionState>>) {
        let mut active = self.active.lock();
        still_active.append(&mut active);
        *active = still_active;
    }
}
