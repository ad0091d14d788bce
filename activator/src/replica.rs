//! One replica as this activator sees it: where it is, what it has in flight, whether to use it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::endpoint::slots;
use zeron_core::workload::ReadinessProbe;
use zeron_core::{Endpoint, EndpointId, EndpointSnapshot};
use zeron_wire::DrainId;

use crate::balance::Fill;
use crate::ring::Member;

/// First pause after a failed connect; doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One replica, ours alone: see [`Replica::stand_for`].
const WHOLE: u64 = (1 << 32) | 1;

/// One replica at one address. A replica that moves is another one.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Unique in this process: the key of connection pools.
    pub(crate) key: u64,
    pub(crate) id: EndpointId,
    pub(crate) address: SocketAddr,
    /// Written under the function's lock only; atomic so that it may live outside of it.
    in_flight: AtomicU32,
    /// What other activators, which owned it before, still have there. Written likewise.
    foreign: AtomicU32,
    /// Connects that failed in a row.
    strikes: AtomicU32,
    /// How many replicas it stands for, and, in the lower half, how many activators share it.
    share: AtomicU64,
}

impl Replica {
    pub(crate) fn new(id: EndpointId, address: SocketAddr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            key: NEXT.fetch_add(1, Ordering::Relaxed),
            id,
            address,
            in_flight: AtomicU32::new(0),
            foreign: AtomicU32::new(0),
            strikes: AtomicU32::new(0),
            share: AtomicU64::new(WHOLE),
        }
    }

    /// It stands for `replicas` replicas, to which `shared_by` activators send requests.
    pub(crate) fn stand_for(&self, replicas: u32, shared_by: u32) {
        let share = (u64::from(replicas) << 32) | u64::from(shared_by);
        self.share.store(share, Ordering::Relaxed);
    }

    /// How full it is, where each replica may have `limit`.
    pub(crate) fn fill(&self, limit: Option<u32>) -> Fill {
        let share = self.share.load(Ordering::Relaxed);
        let load = self.taken();
        if share == WHOLE {
            return Fill {
                load,
                slots: limit.unwrap_or(u32::MAX),
                replicas: 1,
            };
        }
        let low = |half: u64| u32::try_from(half & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let (replicas, shared_by) = (low(share >> 32), low(share));
        Fill {
            load,
            slots: limit.map_or(u32::MAX, |limit| slots(limit, replicas, shared_by)),
            replicas,
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What counts against its limit.
    pub(crate) fn taken(&self) -> u32 {
        self.in_flight().saturating_add(self.foreign())
    }

    pub(crate) fn foreign(&self) -> u32 {
        self.foreign.load(Ordering::Relaxed)
    }

    pub(crate) fn set_foreign(&self, count: u32) {
        self.foreign.store(count, Ordering::Relaxed);
    }

    pub(crate) fn take_slot(&self) {
        self.in_flight
            .store(self.in_flight() + 1, Ordering::Relaxed);
    }

    pub(crate) fn give_slot(&self) {
        debug_assert!(self.in_flight() > 0, "a slot is given back once");
        self.in_flight
            .store(self.in_flight().saturating_sub(1), Ordering::Relaxed);
    }

    /// A connect failed: how long to leave it alone.
    pub(crate) fn strike(&self) -> Duration {
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed).min(10);
        (FIRST_PAUSE * 2u32.pow(strikes)).min(LONGEST_PAUSE)
    }

    /// A connect succeeded.
    pub(crate) fn forgive(&self) {
        if self.strikes.load(Ordering::Relaxed) != 0 {
            self.strikes.store(0, Ordering::Relaxed);
        }
    }
}

/// Who gives work to a replica.
#[derive(Clone, Debug)]
pub(crate) enum Tenure {
    /// This activator.
    Ours,
    /// This activator, once the others have said what they still have there.
    Claimed,
    /// Another one.
    Theirs(Arc<Member>),
    /// Another one, of which nothing more is known yet.
    Ceded,
}

/// A replica and whether it may be given work.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) replica: Arc<Replica>,
    /// The platform says so.
    pub(crate) is_ready: bool,
    pub(crate) is_draining: bool,
    /// How to find out whether it is ready, where the platform leaves that to us.
    pub(crate) probe: Option<Arc<ReadinessProbe>>,
    /// Our own probe says so.
    pub(crate) is_probed: bool,
    /// What the platform says is not enough.
    pub(crate) is_probe_needed: bool,
    /// Taken out of rotation by the autoscaler.
    pub(crate) drain: Option<DrainId>,
    /// A connect failed a moment ago.
    pub(crate) is_suspect: bool,
    pub(crate) tenure: Tenure,
    /// It is another's until then, whatever the ring says.
    pub(crate) ceded_until: Option<Instant>,
}

impl Seat {
    /// It may be given work, by its owner.
    pub(crate) fn is_open(&self) -> bool {
        (self.is_vouched_for() || self.is_probed) && self.is_live() && !self.is_suspect
    }

    /// The platform says that it is ready, and that is enough.
    fn is_vouched_for(&self) -> bool {
        self.is_ready && !self.is_probe_needed
    }

    /// It may be given work by us.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_open() && matches!(self.tenure, Tenure::Ours)
    }

    /// Not on its way out.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_draining && self.drain.is_none()
    }

    /// Its readiness is ours to find out.
    pub(crate) fn wants_probe(&self) -> Option<&Arc<ReadinessProbe>> {
        let is_unknown = !self.is_vouched_for() && !self.is_probed && !self.is_draining;
        self.probe.as_ref().filter(|_| is_unknown)
    }

    fn new(replica: Arc<Replica>) -> Self {
        Self {
            replica,
            is_ready: false,
            is_draining: false,
            probe: None,
            is_probed: false,
            is_probe_needed: false,
            drain: None,
            is_suspect: false,
            // Not yet settled: see `State::settle`.
            tenure: Tenure::Ceded,
            ceded_until: None,
        }
    }

    /// What the platform says of it now.
    fn update(&mut self, endpoint: &Endpoint) {
        // It was ready and is not any more: what our probe once found counts no longer.
        self.is_probed &= !self.is_ready || endpoint.is_ready;
        self.is_ready = endpoint.is_ready;
        self.is_draining = endpoint.is_draining;
        self.probe.clone_from(&endpoint.probe);
        self.is_probe_needed = endpoint.is_probe_needed;
        let (replicas, shared_by) = (endpoint.replicas, endpoint.shared_by);
        self.replica.stand_for(replicas, shared_by);
    }
}

/// The seats of a new snapshot.
#[derive(Debug)]
pub(crate) struct Seated {
    /// Those that were there before first.
    pub(crate) seats: Vec<Seat>,
    /// How many are new.
    pub(crate) new: usize,
    /// Replicas that are there no more and still have requests.
    pub(crate) gone: Vec<Arc<Replica>>,
}

/// The seats of a new snapshot, keeping what is known of replicas that stay, or come back to what
/// they had.
pub(crate) fn seats(
    snapshot: &EndpointSnapshot,
    mut old: Vec<Seat>,
    mut gone: Vec<Arc<Replica>>,
) -> Seated {
    let reachable = snapshot
        .endpoints
        .iter()
        .filter_map(|endpoint| Some((endpoint, endpoint.address?)));
    let (mut seats, mut new) = (Vec::with_capacity(old.len()), Vec::new());
    for (endpoint, address) in reachable {
        let is_same = |replica: &Replica| replica.id == endpoint.id && replica.address == address;
        if let Some(place) = old.iter().position(|seat| is_same(&seat.replica)) {
            let mut seat = old.swap_remove(place);
            seat.update(endpoint);
            seats.push(seat);
            continue;
        }
        let replica = match gone.iter().position(|replica| is_same(replica)) {
            Some(place) => gone.swap_remove(place),
            None => Arc::new(Replica::new(endpoint.id, address)),
        };
        let mut seat = Seat::new(replica);
        seat.update(endpoint);
        new.push(seat);
    }
    gone.extend(old.into_iter().map(|seat| seat.replica));
    gone.retain(|replica| replica.in_flight() > 0);
    let count = new.len();
    seats.append(&mut new);
    Seated {
        seats,
        new: count,
        gone,
    }
}
