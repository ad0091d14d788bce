//! One function: how many replicas it has, and what brings them to the number asked for.

use std::sync::Arc;
use std::time::Instant;

use zeron_core::workload::Port;
use zeron_core::{EndpointId, EndpointSnapshot, Function, StartFailure, Timestamp};

use super::crash::{Crash, Fault, HEALTHY_AFTER};
use super::replica::{Phase, Replica};
use super::{Effects, Order};
use crate::clock::Now;

/// A function at rest holds nothing but this.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) function: Arc<Function>,
    /// Replicas asked for.
    pub(crate) asked: u32,
    pub(crate) replicas: Vec<Replica>,
    /// Counts workloads: replicas of an older one are replaced.
    generation: u32,
    /// The fleet's limit left no room for some.
    is_starved: bool,
    crash: Option<Box<Crash>>,
}

/// What an entry may use of the fleet when it starts replicas.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) next_id: &'a mut u64,
    /// Replicas that may still be started before the fleet's limit.
    pub(crate) free: usize,
}

impl Entry {
    pub(crate) fn new(function: Arc<Function>) -> Self {
        Self {
            function,
            asked: 0,
            replicas: Vec::new(),
            generation: 0,
            is_starved: false,
            crash: None,
        }
    }

    /// Takes a new definition; `true`: its workload is another one.
    pub(crate) fn redefine(&mut self, function: Arc<Function>) -> bool {
        let is_other = self.function.workload != function.workload;
        self.function = function;
        if is_other {
            self.generation += 1;
            self.crash = None;
        }
        is_other
    }

    pub(crate) fn find(&mut self, id: EndpointId) -> Option<&mut Replica> {
        self.replicas.iter_mut().find(|replica| replica.id == id)
    }

    /// Starts and drains until the live replicas of this workload are as many as asked for.
    /// `true`: the fleet's limit leaves no room for some.
    pub(crate) fn reconcile(
        &mut self,
        victims: &[EndpointId],
        room: &mut Room<'_>,
        now: Instant,
        effects: &mut Effects,
    ) -> bool {
        let asked = usize::try_from(self.asked).unwrap_or(usize::MAX);
        let surplus = self.current().count().saturating_sub(asked);
        self.drain(surplus, victims, effects, |replica, generation| {
            replica.generation == generation
        });
        self.drain_outdated(asked, victims, effects);
        let missing = asked.saturating_sub(self.current().count());
        let wanted = missing.min(self.startable(now));
        self.is_starved = wanted > room.free;
        for _ in 0..wanted.min(room.free) {
            self.order(room, now, effects);
        }
        self.is_starved
    }

    /// Replicas of an older workload go as their successors get ready; those that are not ready
    /// serve nobody and go at once. A fixed port has to become free first.
    fn drain_outdated(&mut self, asked: usize, victims: &[EndpointId], effects: &mut Effects) {
        let is_old = |replica: &Replica, generation| replica.generation != generation;
        let generation = self.generation;
        let old = || {
            self.replicas
                .iter()
                .filter(|r| r.is_live() && is_old(r, generation))
        };
        let ready_old = old().filter(|replica| replica.is_ready()).count();
        let idle_old = old().count() - ready_old;
        let ready_new = self.current().filter(|replica| replica.is_ready()).count();
        let surplus = match self.fixed_port() {
            Some(_) => ready_old,
            None => (ready_new + ready_old).saturating_sub(asked).min(ready_old),
        };
        self.drain(idle_old + surplus, victims, effects, is_old);
    }

    /// How many replicas may be started now, whatever is asked for.
    fn startable(&self, now: Instant) -> usize {
        if self.fixed_port().is_some() && !self.replicas.is_empty() {
            return 0;
        }
        let most = if self.fixed_port().is_some() {
            1
        } else {
            usize::MAX
        };
        match &self.crash {
            Some(crash) if !crash.may_start(now) => 0,
            Some(crash) if crash.is_loop() && !self.current().any(Replica::is_ready) => {
                1_usize.saturating_sub(self.current().count())
            }
            _ => most,
        }
    }

    fn order(&mut self, room: &mut Room<'_>, now: Instant, effects: &mut Effects) {
        let id = EndpointId(*room.next_id);
        *room.next_id += 1;
        room.free -= 1;
        self.replicas
            .push(Replica::queued(id, self.generation, now));
        effects.spawn.push(Order {
            id,
            function: Arc::clone(&self.function),
        });
    }

    /// Drains `count` of the live replicas that `belongs` picks: victims first, then those that
    /// are not ready, then the newest.
    fn drain(
        &mut self,
        count: usize,
        victims: &[EndpointId],
        effects: &mut Effects,
        belongs: impl Fn(&Replica, u32) -> bool,
    ) {
        if count == 0 {
            return;
        }
        let generation = self.generation;
        let mut candidates: Vec<&mut Replica> = self
            .replicas
            .iter_mut()
            .filter(|replica| replica.is_live() && belongs(replica, generation))
            .collect();
        candidates.sort_by_key(|replica| {
            (
                !victims.contains(&replica.id),
                replica.is_ready(),
                std::cmp::Reverse(replica.id),
            )
        });
        for replica in candidates.into_iter().take(count) {
            match replica.phase {
                // Nothing runs yet: the spawner finds its order withdrawn.
                Phase::Queued => effects.withdrawn.push(replica.id),
                Phase::Spawning => {}
                _ => effects.drain.push(replica.id),
            }
            replica.phase = Phase::Draining;
        }
        self.replicas
            .retain(|replica| !effects.withdrawn.contains(&replica.id));
    }

    /// Drains one replica that failed.
    pub(crate) fn drain_one(&mut self, id: EndpointId, effects: &mut Effects) {
        if let Some(replica) = self.find(id) {
            replica.phase = Phase::Draining;
            effects.drain.push(id);
        }
    }

    /// Takes a replica out; a long enough readiness ends a row of failures.
    pub(crate) fn take(&mut self, id: EndpointId, now: Instant) -> Option<Replica> {
        let at = self.replicas.iter().position(|replica| replica.id == id)?;
        let replica = self.replicas.remove(at);
        let was_healthy = replica
            .ready_at
            .is_some_and(|(since, _)| now.saturating_duration_since(since) >= HEALTHY_AFTER);
        if was_healthy {
            self.crash = None;
        }
        if self.replicas.is_empty() {
            // Back to what a function at rest costs.
            self.replicas = Vec::new();
        }
        Some(replica)
    }

    /// Remembers a failure of the present workload; the moment of the next attempt, if later.
    pub(crate) fn fail(&mut self, generation: u32, fault: Fault, now: Now) -> Option<Instant> {
        if generation != self.generation {
            return None;
        }
        let crash = self.crash.get_or_insert_with(|| Box::new(Crash::new(now)));
        crash.record(fault, now)
    }

    pub(crate) fn forgive(&mut self) {
        if let Some(crash) = &mut self.crash {
            crash.forgive();
        }
    }

    /// Whether a wait of the crash back-off ended now.
    pub(crate) fn begin_retry(&mut self, now: Instant) -> bool {
        self.crash.as_mut().is_some_and(|c| c.begin_retry(now))
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.crash.as_ref().map_or(0, |crash| crash.rounds())
    }

    pub(crate) fn snapshot(&self, now: Timestamp) -> EndpointSnapshot {
        let endpoints: Vec<_> = self.replicas.iter().filter_map(Replica::endpoint).collect();
        let running = endpoints.iter().filter(|e| !e.is_draining).count();
        let running = u32::try_from(running).unwrap_or(u32::MAX);
        let crash = self.crash.as_ref().and_then(|crash| crash.failure());
        EndpointSnapshot {
            endpoints,
            pending: self.asked.saturating_sub(running),
            share: None,
            failure: crash.cloned().or_else(|| self.refusal(now)),
        }
    }

    /// Why fewer replicas run than are asked for although none failed.
    fn refusal(&self, now: Timestamp) -> Option<StartFailure> {
        let (reason, message) = match self.fixed_port() {
            Some(port) if self.asked > 1 => (
                "FixedPort",
                format!(
                    "port {port} is fixed and allows one replica, {} are asked for: \
                     let the program listen on $(PORT)",
                    self.asked
                ),
            ),
            _ if self.is_starved => (
                "ReplicaLimit",
                "this machine runs as many replicas as it may".to_owned(),
            ),
            _ => return None,
        };
        Some(StartFailure {
            reason: reason.to_owned(),
            message,
            at: now,
            retry_at: None,
            is_final: false,
        })
    }

    /// Live replicas of the present workload.
    fn current(&self) -> impl Iterator<Item = &Replica> {
        let generation = self.generation;
        let is_current = move |r: &&Replica| r.is_live() && r.generation == generation;
        self.replicas.iter().filter(is_current)
    }

    fn fixed_port(&self) -> Option<u16> {
        match self.function.workload.port {
            Some(Port::Fixed(port)) => Some(port.get()),
            Some(Port::Assigned) | None => None,
        }
    }
}
