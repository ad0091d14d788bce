//! All functions and their replicas: which are started and stopped. Decides, does no I/O.

pub(crate) mod crash;
mod entry;
pub(crate) mod replica;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use zeron_core::{EndpointId, EndpointSnapshot, Function, FunctionId, Timestamp};

use crate::clock::Now;
use crate::limits::Enforced;
use crash::{Fault, FaultKind};
use entry::{Entry, Room};
pub(crate) use replica::{Phase, Process, Replica};

/// A replica to start.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) id: EndpointId,
    pub(crate) function: Arc<Function>,
}

/// What the threads have to do after a change.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Replicas to start.
    pub(crate) spawn: Vec<Order>,
    /// Running replicas to stop, once the functions in `publish` were published.
    pub(crate) drain: Vec<EndpointId>,
    /// Replicas that nobody had begun to start.
    pub(crate) withdrawn: Vec<EndpointId>,
    /// Functions whose endpoints changed.
    pub(crate) publish: Vec<FunctionId>,
    /// When to try again.
    pub(crate) retry: Option<(Instant, FunctionId)>,
}

/// State of all functions, owned by whoever holds its lock. No call does I/O or waits.
#[derive(Debug)]
pub(crate) struct Fleet {
    functions: HashMap<FunctionId, Entry>,
    /// Which function a replica belongs to; those of removed functions are not here.
    owners: HashMap<EndpointId, FunctionId>,
    next_id: u64,
    max_replicas: usize,
    /// Functions that wait for others to end because of `max_replicas`.
    starved: Vec<FunctionId>,
    /// Replicas in the hands of a spawner, those of removed functions included.
    spawning: usize,
    is_closed: bool,
}

impl Fleet {
    pub(crate) fn new(max_replicas: usize) -> Self {
        Self {
            functions: HashMap::new(),
            owners: HashMap::new(),
            next_id: 1,
            max_replicas,
            starved: Vec::new(),
            spawning: 0,
            is_closed: false,
        }
    }

    pub(crate) fn apply(&mut self, function: Arc<Function>, now: Now) -> Effects {
        let id = function.id.clone();
        match self.functions.get_mut(&id) {
            None => {
                self.functions.insert(id.clone(), Entry::new(function));
                Effects {
                    publish: vec![id],
                    ..Effects::default()
                }
            }
            Some(entry) => match entry.redefine(function) {
                true => self.reconcile(&id, &[], now.instant),
                false => Effects::default(),
            },
        }
    }

    pub(crate) fn remove(&mut self, id: &FunctionId, now: Now) -> Effects {
        let mut effects = Effects::default();
        let Some(entry) = self.functions.remove(id) else {
            return effects;
        };
        for replica in &entry.replicas {
            self.owners.remove(&replica.id);
            if replica.process.is_some() {
                effects.drain.push(replica.id);
            }
        }
        effects.publish.push(id.clone());
        self.feed_starved(now.instant, &mut effects);
        effects
    }

    /// `None`: no such function.
    pub(crate) fn scale(
        &mut self,
        id: &FunctionId,
        replicas: u32,
        victims: &[EndpointId],
        now: Now,
    ) -> Option<Effects> {
        let entry = self.functions.get_mut(id)?;
        if self.is_closed {
            return Some(Effects::default());
        }
        entry.asked = replicas;
        Some(self.reconcile(id, victims, now.instant))
    }

    /// Whether a spawner may start `replica`; from now on it is being started.
    pub(crate) fn begin(&mut self, replica: EndpointId) -> bool {
        let Some(found) = self.find(replica) else {
            return false;
        };
        found.phase = Phase::Spawning;
        self.spawning += 1;
        true
    }

    /// Its process runs. `None`: nobody wants it any more.
    pub(crate) fn started(&mut self, replica: EndpointId, process: Process) -> Option<FunctionId> {
        self.spawning = self.spawning.saturating_sub(1);
        let found = self.find(replica)?;
        found.process = Some(process);
        if found.phase == Phase::Draining {
            return None;
        }
        found.phase = Phase::Starting;
        self.owners.get(&replica).cloned()
    }

    pub(crate) fn ready(&mut self, replica: EndpointId, now: Now) -> Effects {
        let Some((id, entry)) = self.owner(replica) else {
            return Effects::default();
        };
        let found = entry.find(replica);
        let Some(found) = found.filter(|r| matches!(r.phase, Phase::Starting | Phase::Unready))
        else {
            return Effects::default();
        };
        found.phase = Phase::Ready;
        found.ready_at.get_or_insert((now.instant, now.timestamp));
        found.ready_changed = Some(now.timestamp);
        entry.forgive();
        // Older workloads may go now, and the rest of a fleet that was in a crash loop may start.
        self.reconcile(&id, &[], now.instant)
    }

    pub(crate) fn unready(&mut self, replica: EndpointId, now: Now) -> Effects {
        let mut effects = Effects::default();
        if let Some((id, entry)) = self.owner(replica)
            && let Some(found) = entry.find(replica).filter(|r| r.phase == Phase::Ready)
        {
            found.phase = Phase::Unready;
            found.ready_changed = Some(now.timestamp);
            effects.publish.push(id);
        }
        effects
    }

    /// Its process ended by itself: nothing may be sent there any more.
    pub(crate) fn gone(&mut self, replica: EndpointId) -> Effects {
        let mut effects = Effects::default();
        if let Some((id, entry)) = self.owner(replica)
            && let Some(found) = entry.find(replica)
            && found.is_live()
        {
            found.phase = Phase::Exited;
            effects.publish.push(id);
        }
        effects
    }

    /// Its process is gone and everything it wrote was read.
    pub(crate) fn ended(
        &mut self,
        replica: EndpointId,
        reason: String,
        message: String,
        now: Now,
    ) -> Effects {
        self.finish(replica, now, |found| {
            (found.phase == Phase::Exited).then(|| Fault {
                kind: FaultKind::Exited {
                    was_ready: found.ready_at.is_some(),
                },
                reason,
                message,
                begun: found.begun,
            })
        })
    }

    /// Its process could not be started.
    pub(crate) fn not_started(
        &mut self,
        replica: EndpointId,
        is_final: bool,
        reason: &str,
        message: String,
        now: Now,
    ) -> Effects {
        self.spawning = self.spawning.saturating_sub(1);
        self.finish(replica, now, |found| {
            found.is_live().then(|| Fault {
                kind: FaultKind::NotStarted { is_final },
                reason: reason.to_owned(),
                message,
                begun: found.begun,
            })
        })
    }

    fn finish(
        &mut self,
        replica: EndpointId,
        now: Now,
        fault: impl FnOnce(&Replica) -> Option<Fault>,
    ) -> Effects {
        let Some((id, entry)) = self.owner(replica) else {
            return Effects::default();
        };
        let Some(taken) = entry.take(replica, now.instant) else {
            return Effects::default();
        };
        let retry = fault(&taken).and_then(|fault| entry.fail(taken.generation, fault, now));
        self.owners.remove(&replica);
        let mut effects = self.reconcile(&id, &[], now.instant);
        effects.retry = retry.map(|at| (at, id));
        self.feed_starved(now.instant, &mut effects);
        effects
    }

    /// Gives the room that became free to those that wait for it.
    fn feed_starved(&mut self, now: Instant, effects: &mut Effects) {
        for starved in std::mem::take(&mut self.starved) {
            let more = self.reconcile(&starved, &[], now);
            effects.spawn.extend(more.spawn);
            effects.publish.extend(more.publish);
        }
    }

    /// It had long enough to become ready.
    pub(crate) fn overdue(&mut self, replica: EndpointId, message: String, now: Now) -> Effects {
        let Some((id, entry)) = self.owner(replica) else {
            return Effects::default();
        };
        let Some(found) = entry.find(replica).filter(|r| r.phase == Phase::Starting) else {
            return Effects::default();
        };
        let fault = Fault {
            kind: FaultKind::Overdue,
            reason: "ProgressDeadlineExceeded".to_owned(),
            message,
            begun: found.begun,
        };
        let generation = found.generation;
        let mut drained = Effects::default();
        entry.drain_one(replica, &mut drained);
        let retry = entry.fail(generation, fault, now);
        let mut effects = self.reconcile(&id, &[], now.instant);
        effects.drain.append(&mut drained.drain);
        effects.retry = retry.map(|at| (at, id));
        effects
    }

    /// A crash back-off may have ended.
    pub(crate) fn retry(&mut self, id: &FunctionId, now: Now) -> Effects {
        let is_due = match self.functions.get_mut(id) {
            Some(entry) => entry.begin_retry(now.instant),
            None => false,
        };
        if is_due {
            self.reconcile(id, &[], now.instant)
        } else {
            Effects::default()
        }
    }

    pub(crate) fn enforced(&mut self, replica: EndpointId, enforced: Enforced) {
        if let Some(found) = self.find(replica) {
            found.enforced = enforced;
        }
    }

    /// `None`: no such function.
    pub(crate) fn snapshot(
        &self,
        id: &FunctionId,
        now: Timestamp,
    ) -> Option<Arc<EndpointSnapshot>> {
        let entry = self.functions.get(id)?;
        Some(Arc::new(entry.snapshot(now)))
    }

    pub(crate) fn entry(&self, id: &FunctionId) -> Option<&Entry> {
        self.functions.get(id)
    }

    /// Whether there is such a replica of a function that is known.
    pub(crate) fn has(&self, replica: EndpointId) -> bool {
        self.owners.contains_key(&replica)
    }

    pub(crate) fn functions(&self) -> impl Iterator<Item = &FunctionId> {
        self.functions.keys()
    }

    /// No replica exists that the supervisor may not know of.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.spawning == 0
    }

    /// Asks for no replica of any function, for good.
    pub(crate) fn close(&mut self, now: Now) -> Effects {
        self.is_closed = true;
        let mut all = Effects::default();
        let ids: Vec<FunctionId> = self.functions.keys().cloned().collect();
        for id in ids {
            let Some(entry) = self.functions.get_mut(&id) else {
                continue;
            };
            entry.asked = 0;
            if entry.replicas.is_empty() {
                continue;
            }
            let mut effects = self.reconcile(&id, &[], now.instant);
            all.drain.append(&mut effects.drain);
            all.publish.append(&mut effects.publish);
        }
        all
    }

    fn reconcile(&mut self, id: &FunctionId, victims: &[EndpointId], now: Instant) -> Effects {
        let mut effects = Effects::default();
        let Some(entry) = self.functions.get_mut(id) else {
            return effects;
        };
        let mut room = Room {
            next_id: &mut self.next_id,
            free: self.max_replicas.saturating_sub(self.owners.len()),
        };
        let is_starved = entry.reconcile(victims, &mut room, now, &mut effects);
        if is_starved && !self.starved.contains(id) {
            self.starved.push(id.clone());
        }
        for order in &effects.spawn {
            self.owners.insert(order.id, id.clone());
        }
        for withdrawn in &effects.withdrawn {
            self.owners.remove(withdrawn);
        }
        effects.publish.push(id.clone());
        effects
    }

    fn owner(&mut self, replica: EndpointId) -> Option<(FunctionId, &mut Entry)> {
        let id = self.owners.get(&replica)?.clone();
        let entry = self.functions.get_mut(&id)?;
        Some((id, entry))
    }

    fn find(&mut self, replica: EndpointId) -> Option<&mut Replica> {
        self.owner(replica)?.1.find(replica)
    }
}

#[cfg(test)]
pub(crate) mod tests;
