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

/// How long a replica that was named before it was known, or left its address, is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// How long replicas may take to go once they were told to stop. One that is there after that was
/// spared, and serves again: its count was raised meanwhile, or could not be written.
const GOES_WITHIN: Duration = Duration::from_secs(30);
/// The same while somebody waits and no other replica is there or on its way: the count was raised
/// before the platform had acted on the lower one.
const WANTED_WITHIN: Duration = Duration::from_secs(2);
/// The same once the platform took another replica instead.
const SPARED_WITHIN: Duration = Duration::from_secs(1);

/// One drain that is under way, or finished and not yet followed by the end of its replicas.
#[derive(Debug)]
pub(super) struct Order {
    id: DrainId,
    replicas: Vec<Arc<Replica>>,
    /// Named, and not known here: already gone, not yet here, or between two addresses.
    unknown: Vec<EndpointId>,
    /// Since when.
    since: Instant,
    is_reported: bool,
    /// Its replicas were told to stop; those that are there by then were spared.
    spared_at: Option<Instant>,
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
            spared_at: None,
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

    /// Replicas that were taken out of rotation and are not on their way out, by their seats.
    pub(super) fn taken_out(&self) -> Vec<(u64, EndpointId, DrainId)> {
        let seats = self.seats.iter().filter(|seat| !seat.is_draining);
        let taken = seats.filter_map(|it| Some((it.replica.key, it.replica.id, it.drain?)));
        taken.collect()
    }

    /// Those of them that left their address may come back at another one.
    pub(super) fn expect_back(&mut self, taken: &[(u64, EndpointId, DrainId)], now: Instant) {
        for (key, id, drain) in taken {
            if self.seats.iter().any(|seat| seat.replica.key == *key) {
                continue;
            }
            let mut orders = self.drains.iter_mut();
            if let Some(order) = orders.find(|order| order.id == *drain) {
                order.unknown.push(*id);
                order.since = now;
            }
        }
    }

    /// A replica may have been named before it was seen here, or at its former address.
    pub(super) fn drain_newcomers(&mut self, count: usize, now: Instant) {
        let first = self.seats.len() - count;
        let is_spared = |order: &&mut Order| order.spared_at.is_some_and(|at| at <= now);
        for order in self.drains.iter_mut().filter(|order| !is_spared(order)) {
            for seat in &mut self.seats[first..] {
                if let Some(place) = order.unknown.iter().position(|id| *id == seat.replica.id) {
                    order.unknown.swap_remove(place);
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

    /// Its replicas were told to stop: the platform takes them now, or others.
    pub(super) fn settle_drain(&mut self, id: DrainId, now: Instant) {
        for order in self.drains.iter_mut().filter(|order| order.id == id) {
            order.spared_at = Some(now + GOES_WITHIN);
        }
    }

    /// Replicas that nobody told to stop, while others were and are still there.
    pub(super) fn staying(&self) -> Vec<u64> {
        if self.drains.iter().all(|order| order.spared_at.is_none()) {
            return Vec::new();
        }
        let staying = self.seats.iter().filter(|seat| seat.is_live());
        staying.map(|seat| seat.replica.key).collect()
    }

    /// When one of those is on its way out, the platform took it instead of one that was drained.
    pub(super) fn notice_exchange(&mut self, staying: &[u64], now: Instant) {
        let stays = |key: &u64| {
            let mut seats = self.seats.iter();
            seats.any(|seat| seat.replica.key == *key && seat.is_live())
        };
        if staying.iter().all(stays) {
            return;
        }
        for at in self
            .drains
            .iter_mut()
            .filter_map(|it| it.spared_at.as_mut())
        {
            *at = (*at).min(now + SPARED_WITHIN);
        }
    }

    /// Puts back what was to stop and did not. Nobody else would: its drain is over.
    pub(super) fn put_back_spared(&mut self, function: &FunctionState, now: Instant) {
        let is_wanted = !self.queue.is_empty() && !self.seats.iter().any(|seat| seat.is_live());
        let ahead = match is_wanted {
            true => GOES_WITHIN.saturating_sub(WANTED_WITHIN),
            false => Duration::ZERO,
        };
        let is_over = |order: &&Order| order.spared_at.is_some_and(|at| at <= now + ahead);
        let over: Vec<DrainId> = (self.drains.iter().filter(is_over))
            .map(|order| order.id)
            .collect();
        let mut spared = 0;
        for seat in &mut self.seats {
            if !seat.is_draining && seat.drain.is_some_and(|id| over.contains(&id)) {
                seat.drain = None;
                spared += 1;
            }
        }
        if spared > 0 {
            tracing::info!(function = %function.id, spared, "replicas that were to stop serve again");
            self.refresh_usable();
        }
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
            let replicas = order.replicas.iter().map(|replica| replica.id);
            let mut endpoints = Vec::new();
            // One that has moved is there twice.
            for id in replicas.chain(order.unknown.iter().copied()) {
                if !endpoints.contains(&id) {
                    endpoints.push(id);
                }
            }
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
