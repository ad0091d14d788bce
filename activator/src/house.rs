//! What all functions of one activator share: the byte budget, the list of those with load, and
//! the way to the autoscaler.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeron_core::FunctionId;
use zeron_wire::ToAutoscaler;

use crate::budget::Budget;
use crate::claims::Claims;
use crate::config::{Config, PlatformReason};
use crate::function::FunctionState;
use crate::probe::Prober;
use crate::ring::{Peer, Ring};

/// Shared by all functions.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) budget: Budget,
    /// Functions that had load since the last report.
    active: Mutex<Vec<Arc<FunctionState>>>,
    autoscaler: mpsc::Sender<ToAutoscaler>,
    pub(crate) platform_reason: PlatformReason,
    pub(crate) claims: Claims,
    pub(crate) prober: Prober,
    ring: RwLock<Arc<Ring>>,
    refused_probes: Option<mpsc::Sender<FunctionId>>,
}

impl House {
    pub(crate) fn new(config: &Config, autoscaler: mpsc::Sender<ToAutoscaler>) -> Self {
        Self {
            budget: Budget::new(config.max_queued_bytes),
            platform_reason: config.show_platform_reason,
            claims: Claims::default(),
            prober: Prober::default(),
            active: Mutex::default(),
            autoscaler,
            ring: RwLock::default(),
            refused_probes: config.refused_probes.clone(),
        }
    }

    /// Who owns which replica.
    pub(crate) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read())
    }

    /// Takes other members; `false` when nothing changes.
    pub(crate) fn set_members(&self, me: &str, peers: Vec<Peer>, now: Instant) -> bool {
        let mut ring = self.ring.write();
        let next = ring.next(me, peers, now).map(Arc::new);
        next.map(|next| *ring = next).is_some()
    }

    /// Sends without waiting; `false` when the link is full or gone. Senders repeat what must not
    /// be lost at the next report.
    pub(crate) fn tell(&self, message: ToAutoscaler) -> bool {
        self.autoscaler.try_send(message).is_ok()
    }

    /// A replica that the platform calls ready refuses our probe; said again at the next probe.
    pub(crate) fn say_refused(&self, function: &FunctionId) {
        if let Some(refused) = &self.refused_probes {
            drop(refused.try_send(function.clone()));
        }
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
