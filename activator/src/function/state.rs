//! What a function's lock protects, and every change to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use zeron_core::endpoint::Share;
use zeron_core::function::AdmissionPolicy;
use zeron_core::route::RoutedFunction;
use zeron_core::{EndpointId, EndpointSnapshot, StartFailure};

use super::drain::Order;
use super::owners::Owner;
use super::{Effects, Entry, FunctionState, Grant, Permit, Place, Request, Ticket};
use crate::balance::{self, Random};
use crate::cause::Cause;
use crate::load::{Load, Meter, Report};
use crate::refusal::Refusal;
use crate::replica::{self, Replica, Seat, Seated};
use crate::wake::WakeGate;

/// What `Retry-After` says when nothing better is known.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct State {
    pub(super) limit: Option<u32>,
    admission: AdmissionPolicy,
    pub(super) is_wake_allowed: bool,
    pub(super) is_retired: bool,
    pub(super) seats: Vec<Seat>,
    /// Replicas that have no seat any more and still have requests.
    pub(super) gone: Vec<Arc<Replica>>,
    /// Those of `seats` that may be given work by this activator.
    pub(super) usable: Vec<Arc<Replica>>,
    /// Activators that the others belong to.
    pub(super) owners: Vec<Owner>,
    /// Replicas that the platform is about to start.
    pub(super) pending: u32,
    /// Which of those that can be used are for this activator, where there is a limit.
    share: Option<Share>,
    pub(super) failure: Option<StartFailure>,
    /// By order of arrival. Not empty only while no slot is free.
    pub(super) queue: BTreeMap<u64, Waiter>,
    /// Those of them that another activator sent.
    pub(super) hops: u32,
    queued_bytes: u64,
    next_number: u64,
    pub(super) meter: Meter,
    pub(super) gate: WakeGate,
    pub(super) drains: Vec<Order>,
    /// Replicas are being probed for this function.
    pub(super) is_probing: bool,
    pub(super) random: Random,
    /// It is on the list of active functions.
    is_listed: bool,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) grant: oneshot::Sender<Grant>,
    bytes: u64,
    /// Another activator sent it: it goes no further.
    pub(super) is_hop: bool,
}

impl Waiter {
    fn place(&self, number: u64) -> Place {
        Place {
            number,
            bytes: self.bytes,
            is_hop: self.is_hop,
        }
    }
}

impl State {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            limit: None,
            admission: AdmissionPolicy::default(),
            is_wake_allowed: true,
            is_retired: false,
            seats: Vec::new(),
            gone: Vec::new(),
            usable: Vec::new(),
            owners: Vec::new(),
            hops: 0,
            pending: 0,
            share: None,
            failure: None,
            queue: BTreeMap::new(),
            queued_bytes: 0,
            next_number: 0,
            meter: Meter::new(now),
            gate: WakeGate::default(),
            drains: Vec::new(),
            is_probing: false,
            random: Random::new(crate::head::trace::draw()),
            is_listed: false,
        }
    }

    pub(super) fn load(&self) -> Load {
        self.meter.load()
    }

    pub(super) fn has_usable(&self) -> bool {
        !self.usable.is_empty() || self.has_owners()
    }

    #[cfg(test)]
    pub(super) fn has_free_slot(&self) -> bool {
        let mut usable = self.usable.iter().map(|it| it.fill(self.limit));
        usable.any(|fill| fill.load < fill.slots)
    }

    pub(super) fn enter(
        &mut self,
        function: &Arc<FunctionState>,
        request: Request,
        effects: &mut Effects,
    ) -> Entry {
        let now = request.at;
        self.arrive(now, effects);
        let number = self.next_number;
        self.next_number += 1;
        let place = Place {
            number,
            bytes: request.bytes,
            is_hop: request.is_hop,
        };
        if self.queue.is_empty() {
            if let Some(replica) = self.free_replica() {
                return Entry::Granted(self.grant(function, replica, place, now));
            }
            if !request.is_hop
                && let Some(way) = self.other_owner(now)
            {
                // The other one counts it.
                self.meter.unarrive();
                return Entry::Granted(Permit::elsewhere(function, way, place));
            }
        }
        if request.is_hop && self.is_misdirected() {
            self.meter.unarrive();
            return Entry::Refused(Refusal::new(Cause::Misdirected));
        }
        if let Some(refusal) = self.hopeless(function) {
            self.wake_for(function, now, 1, effects);
            return Entry::Refused(refusal);
        }
        if !self.has_room(function, request.bytes) {
            let refusal = Refusal::new(Cause::QueueFull).retry_after(RETRY_AFTER);
            return Entry::Refused(refusal);
        }
        let entry = self.join(function, place, now, effects);
        if !self.owners.is_empty() {
            self.dispatch(function, now, effects);
        }
        entry
    }

    /// A request whose replica could not be reached: its slot is free again, its place is kept.
    pub(super) fn reenter(
        &mut self,
        function: &Arc<FunctionState>,
        permit: &Permit,
        now: Instant,
        effects: &mut Effects,
    ) -> Entry {
        self.give_back(permit, now);
        if permit.is_elsewhere {
            // It is ours to count again.
            self.meter.arrive();
        }
        let is_first = self
            .queue
            .first_key_value()
            .is_none_or(|(first, _)| permit.place.number < *first);
        if is_first && let Some(replica) = self.free_replica() {
            return Entry::Granted(self.grant(function, replica, permit.place, now));
        }
        if self.is_retired {
            return Entry::Refused(Refusal::new(Cause::FunctionGone));
        }
        // It was admitted before: only the books are kept, the bounds are not asked again.
        function
            .house
            .budget
            .take_anyway(function.id.namespace(), permit.place.bytes);
        let entry = self.join(function, permit.place, now, effects);
        self.send_back(function, now, effects);
        self.dispatch(function, now, effects);
        entry
    }

    /// The request of `permit` has ended, or was not sent.
    pub(super) fn give_back(&mut self, permit: &Permit, now: Instant) {
        if permit.is_elsewhere {
            self.returned(&permit.replica);
        } else {
            permit.replica.give_slot();
            self.shift(now, -1, 0);
        }
    }

    pub(super) fn leave(&mut self, function: &FunctionState, number: u64, now: Instant) {
        if let Some(waiter) = self.queue.remove(&number) {
            self.forget(function, &waiter, now);
        }
    }

    /// Gives free slots to the first waiters: those here, and then those of other activators.
    pub(super) fn dispatch(
        &mut self,
        function: &Arc<FunctionState>,
        now: Instant,
        effects: &mut Effects,
    ) {
        while !self.queue.is_empty()
            && let Some(replica) = self.free_replica()
            && let Some((number, waiter)) = self.queue.pop_first()
        {
            self.forget(function, &waiter, now);
            let permit = self.grant(function, replica, waiter.place(number), now);
            effects.grants.push((waiter.grant, Ok(permit)));
        }
        while !self.owners.is_empty()
            && let Some(number) = self.first_of_ours()
            && let Some(way) = self.other_owner(now)
            && let Some(waiter) = self.queue.remove(&number)
        {
            self.forget(function, &waiter, now);
            self.meter.unarrive();
            let permit = Permit::elsewhere(function, way, waiter.place(number));
            effects.grants.push((waiter.grant, Ok(permit)));
        }
    }

    /// The first waiter that may go elsewhere.
    fn first_of_ours(&self) -> Option<u64> {
        let mut ours = self.queue.iter().filter(|(_, waiter)| !waiter.is_hop);
        ours.next().map(|(number, _)| *number)
    }

    pub(super) fn configure(
        &mut self,
        function: &Arc<FunctionState>,
        routed: &RoutedFunction,
        now: Instant,
        effects: &mut Effects,
    ) {
        self.is_retired = false;
        let limit = routed.function.concurrency_limit.map(Into::into);
        if std::mem::replace(&mut self.limit, limit) != limit {
            self.limit_changed(function, now, effects);
        }
        self.admission = routed.function.admission;
        let was_allowed = std::mem::replace(&mut self.is_wake_allowed, routed.is_wake_allowed);
        if was_allowed != self.is_wake_allowed {
            self.gate.reset();
        }
        self.dispatch(function, now, effects);
        self.refuse_if_hopeless(function, now, effects);
        self.wake_if_needed(function, now, effects);
    }

    pub(super) fn retire(
        &mut self,
        function: &Arc<FunctionState>,
        now: Instant,
        effects: &mut Effects,
    ) {
        self.is_retired = true;
        self.refuse_waiting(function, &Refusal::new(Cause::FunctionGone), now, effects);
    }

    pub(super) fn observe(
        &mut self,
        function: &Arc<FunctionState>,
        snapshot: &EndpointSnapshot,
        now: Instant,
        effects: &mut Effects,
    ) {
        let had_usable = self.has_usable();
        let (staying, taken) = (self.staying(), self.taken_out());
        let seats = std::mem::take(&mut self.seats);
        let Seated { seats, new, gone } =
            replica::seats(snapshot, seats, std::mem::take(&mut self.gone));
        (self.seats, self.gone) = (seats, gone);
        (self.pending, self.share) = (snapshot.pending, snapshot.share);
        self.settle(function, new, now, effects);
        self.expect_back(&taken, now);
        self.drain_newcomers(new, now);
        self.notice_exchange(&staying, now);
        self.refresh_usable();
        self.send_back(function, now, effects);
        self.prune_drains(now);
        self.finished_drains(function, now, effects);
        self.dispatch(function, now, effects);
        self.learn_failure(
            function,
            snapshot.failure.as_ref(),
            had_usable,
            now,
            effects,
        );
        self.refuse_if_hopeless(function, now, effects);
        self.find_out(effects);
        self.wake_if_needed(function, now, effects);
    }

    /// Leaves `replica` alone for a moment; `None` when somebody saw to that already.
    pub(super) fn suspect(&mut self, replica: &Replica) -> Option<Duration> {
        let mut seats = self.seats.iter_mut();
        let seat = seats.find(|seat| seat.replica.key == replica.key);
        let Some(seat) = seat else {
            return self.suspect_owner(replica);
        };
        if std::mem::replace(&mut seat.is_suspect, true) {
            return None;
        }
        self.refresh_usable();
        Some(replica.strike())
    }

    pub(super) fn reinstate(
        &mut self,
        function: &Arc<FunctionState>,
        replica: &Replica,
        now: Instant,
        effects: &mut Effects,
    ) {
        for seat in &mut self.seats {
            if seat.replica.key == replica.key {
                seat.is_suspect = false;
            }
        }
        self.reinstate_owner(replica);
        self.refresh_usable();
        self.dispatch(function, now, effects);
    }

    pub(super) fn refuse_waiting(
        &mut self,
        function: &FunctionState,
        refusal: &Refusal,
        now: Instant,
        effects: &mut Effects,
    ) {
        for waiter in std::mem::take(&mut self.queue).into_values() {
            self.forget(function, &waiter, now);
            effects.grants.push((waiter.grant, Err(refusal.clone())));
        }
    }

    /// Replicas with something in flight, with how much.
    pub(super) fn busy(&self) -> Vec<(EndpointId, u32)> {
        let busy = self.seats.iter().filter(|it| it.replica.in_flight() > 0);
        busy.map(|it| (it.replica.id, it.replica.in_flight()))
            .collect()
    }

    /// `None`: nothing since the last report, and the function is off the list.
    pub(super) fn report(&mut self, now: Instant) -> Option<Report> {
        let report = self.meter.report(now);
        let is_active = report.load.total() > 0 || report.arrivals > 0 || report.average > 0.0;
        self.is_listed = is_active;
        is_active.then_some(report)
    }

    pub(super) fn refresh_usable(&mut self) {
        let before: Vec<u64> = self.usable.iter().map(|replica| replica.key).collect();
        self.usable.clear();
        let usable = self.seats.iter().filter(|seat| seat.is_usable());
        self.usable
            .extend(usable.map(|seat| Arc::clone(&seat.replica)));
        self.take_share();
        self.refresh_owners();
        if !self.usable.iter().map(|replica| replica.key).eq(before) {
            self.gate.reset();
        }
    }

    /// Leaves to other activators what is theirs. All of them go by the addresses' text.
    fn take_share(&mut self) {
        let Some(share) = self.share.filter(|_| self.limit.is_some()) else {
            return;
        };
        self.usable
            .sort_by_cached_key(|replica| replica.address.to_string());
        let count = self.usable.len();
        let mut places = 0..count;
        self.usable.retain(|_| {
            let place = places.next();
            place.is_some_and(|place| share.has(place, count))
        });
    }

    pub(super) fn arrive(&mut self, now: Instant, effects: &mut Effects) {
        if !self.is_listed {
            self.is_listed = true;
            effects.is_newly_active = true;
            self.meter.restart(now);
        }
        self.meter.arrive();
    }

    fn join(
        &mut self,
        function: &Arc<FunctionState>,
        place: Place,
        now: Instant,
        effects: &mut Effects,
    ) -> Entry {
        let (sender, grant) = oneshot::channel();
        let waiter = Waiter {
            grant: sender,
            bytes: place.bytes,
            is_hop: place.is_hop,
        };
        self.queue.insert(place.number, waiter);
        self.hops += u32::from(place.is_hop);
        self.queued_bytes += place.bytes;
        self.shift(now, 0, 1);
        self.wake_if_needed(function, now, effects);
        Entry::Waiting(Ticket {
            function: Arc::clone(function),
            number: place.number,
            grant,
            is_cold: !self.has_usable(),
        })
    }

    pub(super) fn forget(&mut self, function: &FunctionState, waiter: &Waiter, now: Instant) {
        self.hops -= u32::from(waiter.is_hop);
        self.queued_bytes -= waiter.bytes;
        function
            .house
            .budget
            .give(function.id.namespace(), waiter.bytes);
        self.shift(now, 0, -1);
    }

    fn free_replica(&mut self) -> Option<Arc<Replica>> {
        let usable = &self.usable;
        let random = &mut self.random;
        let limit = self.limit;
        let place = balance::pick(
            usable.len(),
            limit,
            |place| usable[place].fill(limit),
            |bound| random.below(bound),
        )?;
        Some(Arc::clone(&usable[place]))
    }

    fn grant(
        &mut self,
        function: &Arc<FunctionState>,
        replica: Arc<Replica>,
        place: Place,
        now: Instant,
    ) -> Permit {
        replica.take_slot();
        self.shift(now, 1, 0);
        Permit::new(function, replica, place)
    }

    fn shift(&mut self, now: Instant, in_flight: i32, queued: i32) {
        let load = self.meter.load();
        let load = Load {
            in_flight: load.in_flight.saturating_add_signed(in_flight),
            queued: load.queued.saturating_add_signed(queued),
        };
        self.meter.set(now, load);
    }

    fn has_room(&self, function: &FunctionState, bytes: u64) -> bool {
        self.load().queued < self.admission.max_queued
            && self.queued_bytes.saturating_add(bytes) <= self.admission.max_queued_bytes
            && function.house.budget.take(function.id.namespace(), bytes)
    }
}
