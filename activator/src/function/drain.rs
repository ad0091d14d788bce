//! Taking replicas out of rotation before they are stopped.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::EndpointId;
use zeron_wire::{Drain, DrainId, Drained};

use super::state::State;
use super::{Effects, FunctionState};
use crate::replica::Replica;

/// How long a replica that was named before it was known is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// One drain that is under way, or finished and not yet followed by the end of its replicas.
#[derive(Debug)]
pub(super) struct Order {
    id: DrainId,
    replicas: Vec<Arc<Replica>>,
    /// Named, and not known here: already gone, or not yet here.
    unknown: Vec<EndpointId>,
    since: Instant,
    is_reported: bool,
}

impl State {
    pub(super) fn drain(
        &mut self,
        function: &FunctionState,
        order: &Drain,
        now: Instant,
        effects: &mut Effects,
    ) {
        let mut known = self.drains.iter_mut();
        match known.find(|known| known.id == order.id) {
            // Asked again, its answer was lost.
            Some(known) => known.is_reported = false,
            None => self.begin_drain(order, now),
        }
        self.finished_drains(function, now, effects);
    }

    fn begin_drain(&mut self, order: &Drain, now: Instant) {
        let (places, unknown) = match &order.victims {
            Some(victims) => self.named(victims),
            None => (self.chosen(order.count), Vec::new()),
        };
        let mut replicas = Vec::with_capacity(places.len());
        for place in places {
            self.seats[place].drain = Some(order.id);
            replicas.push(Arc::clone(&self.seats[place].replica));
        }
        self.refresh_usable();
        self.drains.push(Order {
            id: order.id,
            replicas,
            unknown,
            since: now,
            is_reported: false,
        });
    }

    /// Replicas that are not ready, then idle ones, then the newest of the least loaded.
    fn chosen(&self, count: u32) -> Vec<usize> {
        let mut live: Vec<usize> = (0..self.seats.len())
            .filter(|place| self.seats[*place].is_live())
            .collect();
        live.sort_by_key(|place| {
            let seat = &self.seats[*place];
            let replica = &seat.replica;
            (seat.is_open(), replica.in_flight(), Reverse(replica.id))
        });
        live.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        live
    }

    /// The places of `victims`, and those that have none.
    fn named(&self, victims: &[EndpointId]) -> (Vec<usize>, Vec<EndpointId>) {
        let places = (0..self.seats.len())
            .filter(|place| victims.contains(&self.seats[*place].replica.id))
            .collect();
        let is_known = |id: &EndpointId| self.seats.iter().any(|seat| seat.replica.id == *id);
        let unknown = victims.iter().filter(|id| !is_known(id)).copied();
        (places, unknown.collect())
    }

    /// A replica may have been named before it was seen here.
    pub(super) fn drain_newcomers(&mut self, count: usize) {
        let first = self.seats.len() - count;
        for order in &mut self.drains {
            for seat in &mut self.seats[first..] {
                if order.unknown.contains(&seat.replica.id) {
                    seat.drain = Some(order.id);
                    order.replicas.push(Arc::clone(&seat.replica));
                }
            }
        }
    }

    pub(super) fn cancel_drain(&mut self, id: DrainId) {
        self.drains.retain(|order| order.id != id);
        for seat in &mut self.seats {
            if seat.drain == Some(id) {
                seat.drain = None;
            }
        }
        self.refresh_usable();
    }

    pub(super) fn has_drain(&self, id: DrainId) -> bool {
        self.drains.iter().any(|order| order.id == id)
    }

    /// Reports drains whose replicas have nothing in flight.
    ///
    /// Whoever ordered a drain of the last replica did not know of requests that arrived since the
    /// last report: such a drain is answered only after the next one, behind a wake-up.
    pub(super) fn finished_drains(
        &mut self,
        function: &FunctionState,
        now: Instant,
        effects: &mut Effects,
    ) {
        let leaves_none = !self.seats.iter().any(|seat| seat.is_live());
        let is_contested = leaves_none && self.meter.arrivals() > 0;
        let mut is_withheld = false;
        for order in self.drains.iter().filter(|order| !order.is_reported) {
            if order.replicas.iter().any(|r| r.in_flight() > 0) {
                continue;
            }
            if is_contested && !order.replicas.is_empty() {
                is_withheld = true;
                continue;
            }
            let mut endpoints: Vec<_> = order.replicas.iter().map(|replica| replica.id).collect();
            let known = endpoints.clone();
            endpoints.extend(order.unknown.iter().filter(|id| !known.contains(id)));
            effects.drained.push(Drained {
                id: order.id,
                function: function.id.clone(),
                endpoints,
            });
        }
        if is_withheld {
            let unqueued = u32::from(self.load().total() == 0);
            self.wake_for(function, now, unqueued, effects);
        }
    }

    pub(super) fn drain_is_reported(&mut self, id: DrainId, now: Instant) {
        for order in &mut self.drains {
            if order.id == id {
                order.is_reported = true;
            }
        }
        self.prune_drains(now);
    }

    /// Forgets reported drains whose replicas are all gone.
    pub(super) fn prune_drains(&mut self, now: Instant) {
        let seats = &self.seats;
        self.drains.retain(|order| {
            let is_awaited = !order.unknown.is_empty()
                && now.saturating_duration_since(order.since) < REMEMBERED_FOR;
            !order.is_reported
                || is_awaited
                || seats.iter().any(|seat| seat.drain == Some(order.id))
        });
    }
}
