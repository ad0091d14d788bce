//! Taking replicas out of rotation before they are stopped.

use std::cmp::Reverse;
use std::sync::Arc;

use zeron_core::FunctionId;
use zeron_wire::{DrainId, Drained};

use super::Effects;
use super::state::State;
use crate::replica::Replica;

/// One drain that is under way, or finished and not yet followed by the end of its replicas.
#[derive(Debug)]
pub(super) struct Order {
    id: DrainId,
    replicas: Vec<Arc<Replica>>,
    is_reported: bool,
}

impl State {
    /// Chooses replicas that are not ready, then idle ones, then the newest of the least loaded.
    pub(super) fn drain(
        &mut self,
        function: &FunctionId,
        id: DrainId,
        count: u32,
        effects: &mut Effects,
    ) {
        if !self.has_drain(id) {
            let mut live: Vec<usize> = (0..self.seats.len())
                .filter(|place| self.seats[*place].is_live())
                .collect();
            live.sort_by_key(|place| {
                let seat = &self.seats[*place];
                let replica = &seat.replica;
                (seat.is_usable(), replica.in_flight(), Reverse(replica.id))
            });
            live.truncate(usize::try_from(count).unwrap_or(usize::MAX));
            let mut replicas = Vec::with_capacity(live.len());
            for place in live {
                self.seats[place].drain = Some(id);
                replicas.push(Arc::clone(&self.seats[place].replica));
            }
            self.refresh_usable();
            self.drains.push(Order {
                id,
                replicas,
                is_reported: false,
            });
        }
        self.finished_drains(function, effects);
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
    pub(super) fn finished_drains(&self, function: &FunctionId, effects: &mut Effects) {
        for order in &self.drains {
            if order.is_reported || order.replicas.iter().any(|r| r.in_flight() > 0) {
                continue;
            }
            effects.drained.push(Drained {
                id: order.id,
                function: function.clone(),
                endpoints: order.replicas.iter().map(|replica| replica.id).collect(),
            });
        }
    }

    pub(super) fn drain_is_reported(&mut self, id: DrainId) {
        for order in &mut self.drains {
            if order.id == id {
                order.is_reported = true;
            }
        }
        self.prune_drains();
    }

    /// Forgets reported drains whose replicas are all gone.
    pub(super) fn prune_drains(&mut self) {
        let seats = &self.seats;
        self.drains.retain(|order| {
            !order.is_reported || seats.iter().any(|seat| seat.drain == Some(order.id))
        });
    }
}
