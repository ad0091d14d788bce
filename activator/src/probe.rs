//! Finding out whether a replica is ready, without waiting for the platform to say so.
//!
//! One task on a thread of its own probes for all functions: at once when a replica appears, then
//! ever more slowly. [`schedule`] decides when and whose turn it is, [`check`] asks.

mod check;
mod grpc;
mod schedule;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::{AbortHandle, Aborted, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use zeron_core::FunctionId;
use zeron_core::workload::ReadinessProbe;

use crate::function::FunctionState;
use crate::replica::Replica;
use check::Finding;
use schedule::Schedule;

/// A replica to be probed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    key: u64,
    address: SocketAddr,
    probe: Arc<ReadinessProbe>,
}

impl Target {
    pub(crate) fn new(replica: &Replica, probe: &Arc<ReadinessProbe>) -> Self {
        Self {
            key: replica.key,
            address: replica.address,
            probe: Arc::clone(probe),
        }
    }
}

/// Where functions leave what is to be probed: the newest of each counts.
#[derive(Debug, Default)]
pub(crate) struct Prober {
    desk: Mutex<HashMap<FunctionId, Wanted>>,
    news: Notify,
}

type Wanted = (Arc<FunctionState>, Vec<Target>);

impl Prober {
    /// Makes `targets` what is probed for `function`.
    pub(crate) fn set(&self, function: Arc<FunctionState>, targets: Vec<Target>) {
        let id = function.id.clone();
        self.desk.lock().insert(id, (function, targets));
        self.news.notify_one();
    }

    /// Probes for ever.
    pub(crate) async fn run(&self) {
        let mut round = Round::default();
        loop {
            round.start_due();
            let due = until(round.schedule.next_due());
            tokio::select! {
                () = self.news.notified() => {
                    let news = std::mem::take(&mut *self.desk.lock());
                    for (function, targets) in news.into_values() {
                        round.take(&function, targets);
                    }
                }
                Some(end) = round.running.next(), if !round.running.is_empty() => {
                    round.finish(end);
                }
                () = due => {}
            }
        }
    }
}

type Running = std::pin::Pin<Box<dyn Future<Output = Result<Probed, Aborted>> + Send>>;

/// How one probe ended.
struct Probed {
    key: u64,
    finding: Finding,
}

/// All that is being probed.
#[derive(Default)]
struct Round {
    schedule: Schedule<Arc<FunctionState>>,
    targets: HashMap<u64, Target>,
    running: FuturesUnordered<Running>,
    aborts: HashMap<u64, AbortHandle>,
}

impl Round {
    fn take(&mut self, function: &Arc<FunctionState>, targets: Vec<Target>) {
        let now = Instant::now();
        let wanted: Vec<u64> = targets.iter().map(|target| target.key).collect();
        for gone in self.schedule.retain(&function.id, &wanted) {
            self.targets.remove(&gone);
            if let Some(abort) = self.aborts.remove(&gone) {
                abort.abort();
            }
        }
        for target in targets {
            let first = now + target.probe.initial_delay;
            self.schedule
                .add(&function.id, function, target.key, first, now);
            self.targets.insert(target.key, target);
        }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        while let Some(turn) = self.schedule.start(now) {
            let Some(target) = self.targets.get(&turn.key).cloned() else {
                self.schedule.remove(turn.key);
                continue;
            };
            let patience = schedule::connect_patience(turn.since_first, target.probe.timeout);
            let probe = async move {
                Probed {
                    key: target.key,
                    finding: check::check(&target, patience).await,
                }
            };
            let (probe, abort) = abortable(probe);
            self.aborts.insert(turn.key, abort);
            self.running.push(Box::pin(probe));
        }
    }

    fn finish(&mut self, end: Result<Probed, Aborted>) {
        let Ok(probed) = end else {
            // Its replica is gone, and its turn with it.
            return;
        };
        self.aborts.remove(&probed.key);
        let Some(target) = self.targets.get(&probed.key) else {
            return;
        };
        let now = Instant::now();
        let is_success = probed.finding == Finding::Ready;
        if probed.finding == Finding::Refused
            && let Some(function) = self.schedule.owner(probed.key)
        {
            function.refused(probed.key);
        }
        let ready = self
            .schedule
            .finish(probed.key, &target.probe, is_success, now);
        if let Some(function) = ready {
            self.targets.remove(&probed.key);
            function.probed(probed.key, now);
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
