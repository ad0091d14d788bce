//! Which replicas of a function with a limit this activator gives work to, and which activators
//! the others belong to.
//!
//! A replica that changes hands is given work by its new owner only once every other activator has
//! said what it still has there, and then only up to the limit minus that; whoever is asked stops
//! giving it work at once. So the limit holds over all activators, with these exceptions, which
//! are bounded: an activator that cannot be asked for [`crate::claims::GIVE_UP_AFTER`] is taken for
//! dead, and two that disagree for longer than [`CEDED_FOR`] about who lives may both use it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::EndpointId;

use super::state::State;
use super::{Effects, FunctionState, Permit};
use crate::cause::Cause;
use crate::refusal::Refusal;
use crate::replica::{Replica, Seat, Tenure};
use crate::ring::{Member, Ring};

/// How long a replica that another activator claims is left to it, where the ring says otherwise.
const CEDED_FOR: Duration = Duration::from_secs(5);

/// What an activator said of its load counts for so long.
const TOLD_FOR: Duration = Duration::from_secs(1);

/// What a claimant is told whose claim is not admitted: it asks again.
pub(crate) const NOT_YET: u32 = u32::MAX;

/// An activator that owns replicas of this function.
#[derive(Debug)]
pub(super) struct Owner {
    member: Arc<Member>,
    /// What its replicas may serve at once.
    slots: u32,
    /// Requests of ours that are there.
    sent: u32,
    /// What it said that it has beside ours, and when.
    told: Option<(Instant, u32)>,
    /// It could not be reached a moment ago.
    is_suspect: bool,
}

impl Owner {
    fn load(&self, now: Instant) -> u32 {
        let told = self
            .told
            .filter(|(at, _)| now.saturating_duration_since(*at) < TOLD_FOR);
        self.sent.saturating_add(told.map_or(0, |(_, load)| load))
    }
}

/// What a function needs of those who ask around.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    /// Replicas of which the others have to say what they have there.
    pub(crate) claims: Vec<EndpointId>,
    /// Some replica is left to another activator for a while.
    pub(crate) has_ceded: bool,
}

impl State {
    /// Decides who gives work to the last `count` seats.
    pub(super) fn settle(
        &mut self,
        function: &FunctionState,
        count: usize,
        now: Instant,
        effects: &mut Effects,
    ) {
        let first = self.seats.len() - count;
        if self.limit.is_none() {
            for seat in &mut self.seats[first..] {
                seat.tenure = Tenure::Ours;
            }
            return;
        }
        let ring = function.house.ring();
        for seat in &mut self.seats[first..] {
            seat.tenure = tenure(&ring, seat, now);
            seat.ceded_until = None;
            effects.is_claiming |= matches!(seat.tenure, Tenure::Claimed);
        }
    }

    /// What was everybody's has an owner now, or the other way round.
    pub(super) fn limit_changed(
        &mut self,
        function: &Arc<FunctionState>,
        now: Instant,
        effects: &mut Effects,
    ) {
        for seat in &mut self.seats {
            (seat.tenure, seat.ceded_until) = (Tenure::Ceded, None);
        }
        self.reown(function, now, effects);
    }

    /// The ring changed.
    fn reown(&mut self, function: &Arc<FunctionState>, now: Instant, effects: &mut Effects) {
        self.settle(function, self.seats.len(), now, effects);
        self.rearrange(function, now, effects);
    }

    /// Tenures changed: those who wait get what they may have now.
    fn rearrange(&mut self, function: &Arc<FunctionState>, now: Instant, effects: &mut Effects) {
        self.refresh_usable();
        self.send_back(function, now, effects);
        self.dispatch(function, now, effects);
        self.wake_if_needed(function, now, effects);
    }

    /// Counts what the other activators may serve.
    pub(super) fn refresh_owners(&mut self) {
        for owner in &mut self.owners {
            owner.slots = 0;
        }
        let limit = self.limit;
        for seat in self.seats.iter().filter(|seat| seat.is_open()) {
            let Tenure::Theirs(member) = &seat.tenure else {
                continue;
            };
            let slots = seat.replica.fill(limit).slots;
            let mut known = self.owners.iter_mut();
            match known.find(|owner| Arc::ptr_eq(&owner.member, member)) {
                Some(owner) => owner.slots = owner.slots.saturating_add(slots),
                None => self.owners.push(Owner {
                    member: Arc::clone(member),
                    slots,
                    sent: 0,
                    told: None,
                    is_suspect: false,
                }),
            }
        }
        self.owners
            .retain(|owner| owner.slots > 0 || owner.sent > 0);
    }

    /// Whether other activators have usable replicas.
    pub(super) fn has_owners(&self) -> bool {
        self.owners.iter().any(|owner| owner.slots > 0)
    }

    /// Another activator for a request that finds no slot here: one that has a slot free as far as
    /// is known, or, where no replica is ours, the least loaded.
    pub(super) fn other_owner(&mut self, now: Instant) -> Option<Arc<Replica>> {
        let count = self.owners.len();
        let first = self.random.below(count);
        let around = (0..count).map(|step| (first + step) % count);
        let (place, load) = around
            .filter(|place| self.owners[*place].slots > 0 && !self.owners[*place].is_suspect)
            .map(|place| (place, self.owners[place].load(now)))
            .min_by(|(a, a_load), (b, b_load)| {
                let (a, b) = (self.owners[*a].slots, self.owners[*b].slots);
                let share = |load: u32, other: u32| u64::from(load) * u64::from(other);
                share(*a_load, b).cmp(&share(*b_load, a))
            })?;
        if load >= self.owners[place].slots && self.has_own() {
            return None;
        }
        let owner = &mut self.owners[place];
        owner.sent += 1;
        Some(Arc::clone(&owner.member.way))
    }

    /// Whether some replica is ours, or about to be.
    fn has_own(&self) -> bool {
        let is_own = |seat: &Seat| matches!(seat.tenure, Tenure::Ours | Tenure::Claimed);
        self.seats.iter().any(|seat| seat.is_live() && is_own(seat))
    }

    /// A request that was sent to another activator has ended, or was not sent.
    pub(super) fn returned(&mut self, way: &Replica) {
        for owner in &mut self.owners {
            if owner.member.way.key == way.key {
                owner.sent = owner.sent.saturating_sub(1);
            }
        }
    }

    /// Leaves an activator alone for a moment; `None` when somebody saw to that already.
    pub(super) fn suspect_owner(&mut self, way: &Replica) -> Option<Duration> {
        let mut owners = self.owners.iter_mut();
        let owner = owners.find(|owner| owner.member.way.key == way.key)?;
        let is_new = !std::mem::replace(&mut owner.is_suspect, true);
        is_new.then(|| way.strike())
    }

    pub(super) fn reinstate_owner(&mut self, way: &Replica) {
        for owner in &mut self.owners {
            owner.is_suspect &= owner.member.way.key != way.key;
        }
    }

    /// An activator said how much it has, ours included.
    pub(super) fn told(&mut self, way: &Replica, load: u32, now: Instant) {
        for owner in &mut self.owners {
            if owner.member.way.key == way.key {
                owner.told = Some((now, load.saturating_sub(owner.sent)));
            }
        }
    }

    /// Whether a request that another activator sent is in vain here: all replicas are others'.
    pub(super) fn is_misdirected(&self) -> bool {
        self.seats.iter().any(Seat::is_live) && !self.has_own()
    }

    /// Those that other activators sent wait in vain once all replicas are others'.
    pub(super) fn send_back(
        &mut self,
        function: &FunctionState,
        now: Instant,
        effects: &mut Effects,
    ) {
        if self.hops == 0 || !self.is_misdirected() {
            return;
        }
        let (back, stay) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|(_, waiter)| waiter.is_hop);
        self.queue = stay;
        for (_, waiter) in back {
            self.forget(function, &waiter, now);
            let refusal = Refusal::new(Cause::Misdirected);
            effects.grants.push((waiter.grant, Err(refusal)));
        }
    }

    /// Another activator claims a replica: it gets no new work from here. What is in flight there.
    fn cede(&mut self, ring: &Ring, replica: EndpointId, claimant: &str, now: Instant) -> u32 {
        let mut seats = self.seats.iter_mut();
        let Some(seat) = seats.find(|seat| seat.replica.id == replica) else {
            let gone = self.gone.iter().filter(|gone| gone.id == replica);
            return gone.map(|gone| gone.in_flight()).sum();
        };
        // Two claim it at once: all decide alike who yields.
        if matches!(seat.tenure, Tenure::Claimed) && *ring.name() < *claimant {
            return NOT_YET;
        }
        if matches!(seat.tenure, Tenure::Ours | Tenure::Claimed) {
            seat.tenure = match ring.member(claimant) {
                Some(member) => Tenure::Theirs(Arc::clone(member)),
                None => Tenure::Ceded,
            };
            seat.ceded_until = Some(now + CEDED_FOR);
        }
        seat.replica.in_flight()
    }

    /// Takes back what was ceded for long enough; what is left to do.
    fn attend(&mut self, ring: &Ring, now: Instant) -> (Attention, bool) {
        let mut is_changed = false;
        let mut attention = Attention::default();
        for seat in &mut self.seats {
            if seat.ceded_until.is_some_and(|until| until <= now) {
                seat.tenure = tenure(ring, seat, now);
                seat.ceded_until = None;
                is_changed = true;
            }
            attention.has_ceded |= seat.ceded_until.is_some();
            let is_shared = matches!(seat.tenure, Tenure::Ours) && seat.replica.foreign() > 0;
            if is_shared || matches!(seat.tenure, Tenure::Claimed) {
                attention.claims.push(seat.replica.id);
            }
        }
        (attention, is_changed)
    }
}

impl FunctionState {
    /// Another activator claims `replicas`; what is in flight at each.
    pub(crate) fn cede(
        self: &Arc<Self>,
        replicas: &[EndpointId],
        claimant: &str,
        now: Instant,
    ) -> Vec<u32> {
        let ring = self.house.ring();
        self.change(|state, effects| {
            let replicas = replicas.iter();
            let counts = replicas.map(|id| state.cede(&ring, *id, claimant, now));
            let counts = counts.collect();
            state.rearrange(self, now, effects);
            effects.is_claiming = true;
            counts
        })
    }

    /// What is to be done for it now.
    pub(crate) fn attend(self: &Arc<Self>, now: Instant) -> Attention {
        let ring = self.house.ring();
        self.change(|state, effects| {
            let (attention, is_changed) = state.attend(&ring, now);
            if is_changed {
                state.rearrange(self, now, effects);
            }
            attention
        })
    }

    /// Every other activator has said what it still has at replicas that were claimed.
    pub(crate) fn admit(self: &Arc<Self>, counts: &[(EndpointId, u32)], now: Instant) {
        self.change(|state, effects| {
            for seat in &mut state.seats {
                let mut told = counts.iter();
                let Some((_, count)) = told.find(|(id, _)| *id == seat.replica.id) else {
                    continue;
                };
                if *count != NOT_YET && matches!(seat.tenure, Tenure::Claimed | Tenure::Ours) {
                    seat.replica.set_foreign(*count);
                    seat.tenure = Tenure::Ours;
                }
            }
            state.rearrange(self, now, effects);
        });
    }

    /// The ring changed.
    pub(crate) fn reown(self: &Arc<Self>, now: Instant) {
        self.change(|state, effects| {
            if state.limit.is_some() {
                state.reown(self, now, effects);
            }
        });
    }

    /// The activator that a request was sent to said how much it has.
    pub(crate) fn told(&self, permit: &Permit, load: u32, now: Instant) {
        self.state.lock().told(&permit.replica, load, now);
    }
}

/// Who gives work to a replica by `ring`.
fn tenure(ring: &Ring, seat: &Seat, now: Instant) -> Tenure {
    if let Some(owner) = ring.owner(seat.replica.id) {
        return Tenure::Theirs(Arc::clone(owner));
    }
    // Nobody else can have given work to what is ours all along, nor to what was never ready.
    let is_ours = matches!(seat.tenure, Tenure::Ours) && seat.ceded_until.is_none();
    let is_fresh = matches!(seat.tenure, Tenure::Ceded) && seat.ceded_until.is_none();
    let is_untouched = is_fresh && !seat.is_ready && !ring.is_settling(now);
    if is_ours || is_untouched || ring.others().next().is_none() {
        Tenure::Ours
    } else {
        Tenure::Claimed
    }
}
