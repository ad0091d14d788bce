//! What the threads of one back end share.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use parking_lot::{Condvar, Mutex};
use zeron_core::{EndpointId, FunctionId};

use crate::config::ProcessConfig;
use crate::fleet::{Effects, Fleet, Order};
use crate::inbox::Inbox;
use crate::keeper::Keeper;
use crate::launch::Surroundings;
use crate::limits::Cgroups;
use crate::logs::{LogInbox, replica_file};
use crate::metrics::Metrics;
use crate::ports::Ports;
use crate::spawner::LimitOrder;
use crate::supervisor::Event;

/// Fleet and ports are owned by their locks: held for a decision, never while waiting.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ProcessConfig,
    pub(crate) log_root: PathBuf,
    /// Random, tells replicas of this run from all others.
    pub(crate) token: String,
    pub(crate) surroundings: Surroundings,
    pub(crate) fleet: Mutex<Fleet>,
    pub(crate) ports: Mutex<Ports>,
    pub(crate) orders: Orders,
    pub(crate) supervisor: Inbox<Event>,
    pub(crate) logs: Arc<LogInbox>,
    /// `None` once closed.
    pub(crate) limits: Mutex<Option<SyncSender<LimitOrder>>>,
    pub(crate) keeper: Keeper,
    pub(crate) cgroups: Cgroups,
    pub(crate) metrics: Arc<Metrics>,
}

impl Shared {
    /// Hands on what a decision led to. Orders go straight to the spawners: one hop.
    pub(crate) fn carry_out(&self, mut effects: Effects) {
        let is_start = !effects.spawn.is_empty();
        self.orders.push(&mut effects.spawn);
        let is_urgent = !effects.drain.is_empty() || effects.retry.is_some();
        if is_start && !is_urgent {
            // That replicas are on their way is published with the first of them: until then the
            // processor belongs to their start.
            self.supervisor
                .push_quietly(Event::Effects(Box::new(effects)));
        } else if is_urgent || !effects.publish.is_empty() {
            self.supervisor.push(Event::Effects(Box::new(effects)));
        }
    }

    /// A replica's own name, unique on this machine.
    pub(crate) fn replica_name(&self, function: &FunctionId, replica: EndpointId) -> String {
        let run = self.token.get(..6).unwrap_or(&self.token);
        format!("{}-{run}-{replica}", function.name())
    }

    pub(crate) fn log_path(&self, function: &FunctionId, replica: EndpointId) -> PathBuf {
        let name = self.replica_name(function, replica);
        replica_file(&self.log_root, function, &name)
    }

    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.config.bind_ip, port)
    }
}

/// Replicas to start, in the order in which they were asked for. Bounded by the fleet's limit.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    orders: VecDeque<Order>,
    is_closed: bool,
}

impl Orders {
    pub(crate) fn push(&self, orders: &mut Vec<Order>) {
        if orders.is_empty() {
            return;
        }
        let count = orders.len();
        self.queue.lock().orders.extend(orders.drain(..));
        match count {
            1 => {
                self.filled.notify_one();
            }
            _ => {
                self.filled.notify_all();
            }
        }
    }

    /// Waits for an order; `None` once closed.
    pub(crate) fn take(&self) -> Option<Order> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_closed {
                return None;
            }
            if let Some(order) = queue.orders.pop_front() {
                return Some(order);
            }
            self.filled.wait(&mut queue);
        }
    }

    pub(crate) fn close(&self) {
        self.queue.lock().is_closed = true;
        self.filled.notify_all();
    }
}
