//! Simulated replicas and the queue before them.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

/// Names one simulated replica.
pub(super) type ReplicaId = u64;

#[derive(Clone, Debug)]
struct Replica {
    id: ReplicaId,
    in_flight: u32,
    is_ready: bool,
    is_draining: bool,
}

/// A request that waits since `arrival`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) arrival: Duration,
    pub(super) service: Duration,
}

/// A request that got a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    pub(super) replica: ReplicaId,
    pub(super) request: Waiting,
}

#[derive(Debug)]
pub(super) struct World {
    limit: Option<NonZeroU32>,
    replicas: Vec<Replica>,
    queue: VecDeque<Waiting>,
    next: ReplicaId,
    pub(super) starts: u64,
}

impl World {
    pub(super) fn new(limit: Option<NonZeroU32>, ready: u32) -> Self {
        let mut world = Self {
            limit,
            replicas: Vec::new(),
            queue: VecDeque::new(),
            next: 0,
            starts: 0,
        };
        for _ in 0..ready {
            let id = world.add();
            world.make_ready(id);
        }
        world
    }

    fn add(&mut self) -> ReplicaId {
        self.next += 1;
        self.replicas.push(Replica {
            id: self.next,
            in_flight: 0,
            is_ready: false,
            is_draining: false,
        });
        self.next
    }

    /// Replicas that are wanted.
    pub(super) fn current(&self) -> u32 {
        self.count(|replica| !replica.is_draining)
    }

    /// Replicas that may be given requests.
    pub(super) fn ready(&self) -> u32 {
        self.count(|replica| replica.is_ready && !replica.is_draining)
    }

    /// Replicas that run.
    pub(super) fn running(&self) -> u32 {
        self.count(|_| true)
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.replicas.iter().map(|replica| replica.in_flight).sum()
    }

    pub(super) fn queued(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    fn count(&self, which: impl Fn(&Replica) -> bool) -> u32 {
        let count = self
            .replicas
            .iter()
            .filter(|replica| which(replica))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Goes to `desired` replicas; answers those that were started.
    pub(super) fn scale(&mut self, desired: u32) -> Vec<ReplicaId> {
        let mut started = Vec::new();
        while self.current() < desired {
            // What is on its way out comes back before anything is started.
            match self.replicas.iter_mut().rev().find(|it| it.is_draining) {
                Some(replica) => replica.is_draining = false,
                None => started.push(self.add()),
            }
        }
        self.starts += started.len() as u64;
        let surplus = usize::try_from(self.current().saturating_sub(desired)).unwrap_or(0);
        let mut live: Vec<_> = self
            .replicas
            .iter_mut()
            .filter(|it| !it.is_draining)
            .collect();
        live.sort_by_key(|it| (it.is_ready, it.in_flight, std::cmp::Reverse(it.id)));
        for replica in live.into_iter().take(surplus) {
            replica.is_draining = true;
        }
        self.sweep();
        started
    }

    pub(super) fn make_ready(&mut self, id: ReplicaId) {
        if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.id == id) {
            replica.is_ready = true;
        }
    }

    pub(super) fn enter(&mut self, request: Waiting) {
        self.queue.push_back(request);
    }

    /// Gives waiting requests to free replicas, first come first served.
    pub(super) fn dispatch(&mut self) -> Vec<Served> {
        let mut served = Vec::new();
        let limit = self.limit.map_or(u32::MAX, NonZeroU32::get);
        while !self.queue.is_empty() {
            let free = self
                .replicas
                .iter_mut()
                .find(|it| it.is_ready && !it.is_draining && it.in_flight < limit);
            let Some(replica) = free else {
                break;
            };
            let Some(request) = self.queue.pop_front() else {
                break;
            };
            replica.in_flight += 1;
            served.push(Served {
                replica: replica.id,
                request,
            });
        }
        served
    }

    pub(super) fn leave(&mut self, id: ReplicaId) {
        if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.id == id) {
            replica.in_flight = replica.in_flight.saturating_sub(1);
        }
        self.sweep();
    }

    /// Drained replicas stop.
    fn sweep(&mut self) {
        self.replicas
            .retain(|replica| !replica.is_draining || replica.in_flight > 0);
    }
}
