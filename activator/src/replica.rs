//! One replica as this activator sees it: where it is, what it has in flight, whether to use it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use zeron_core::{Endpoint, EndpointId, EndpointSnapshot};
use zeron_wire::DrainId;

/// First pause after a failed connect; doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One replica at one address. A replica that moves is another one.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Unique in this process: the key of connection pools.
    pub(crate) key: u64,
    pub(crate) id: EndpointId,
    pub(crate) address: SocketAddr,
    /// Written under the function's lock only; atomic so that it may live outside of it.
    in_flight: AtomicU32,
    /// Connects that failed in a row.
    strikes: AtomicU32,
}

impl Replica {
    fn new(id: EndpointId, address: SocketAddr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            key: NEXT.fetch_add(1, Ordering::Relaxed),
            id,
            address,
            in_flight: AtomicU32::new(0),
            strikes: AtomicU32::new(0),
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
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

/// A replica and whether it may be given work.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) replica: Arc<Replica>,
    pub(crate) is_ready: bool,
    pub(crate) is_draining: bool,
    /// Taken out of rotation by the autoscaler.
    pub(crate) drain: Option<DrainId>,
    /// A connect failed a moment ago.
    pub(crate) is_suspect: bool,
}

impl Seat {
    pub(crate) fn is_usable(&self) -> bool {
        self.is_ready && self.is_live() && !self.is_suspect
    }

    /// Not on its way out.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_draining && self.drain.is_none()
    }

    fn new(endpoint: &Endpoint, address: SocketAddr, old: Option<&Self>) -> Self {
        Self {
            replica: old.map_or_else(
                || Arc::new(Replica::new(endpoint.id, address)),
                |seat| Arc::clone(&seat.replica),
            ),
            is_ready: endpoint.is_ready,
            is_draining: endpoint.is_draining,
            drain: old.and_then(|seat| seat.drain),
            is_suspect: old.is_some_and(|seat| seat.is_suspect),
        }
    }
}

/// The seats of a new snapshot, keeping what is known of replicas that stay.
pub(crate) fn seats(snapshot: &EndpointSnapshot, old: &[Seat]) -> Vec<Seat> {
    let reachable = snapshot
        .endpoints
        .iter()
        .filter_map(|endpoint| Some((endpoint, endpoint.address?)));
    reachable
        .map(|(endpoint, address)| {
            let same = old
                .iter()
                .find(|seat| seat.replica.id == endpoint.id && seat.replica.address == address);
            Seat::new(endpoint, address, same)
        })
        .collect()
}
