//! One function's admission: its slots, its queue, its load. All decisions are made under one
//! short lock; what follows from them (grants, wake-ups) happens after it is released.

mod drain;
mod hopeless;
mod owners;
mod probing;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod waking;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;
use zeron_core::route::RoutedFunction;
use zeron_core::{EndpointSnapshot, FunctionId, Stat};
use zeron_wire::{Drain, DrainId, Drained, ToAutoscaler, Wake};

use crate::cause::Cause;
use crate::clock;
use crate::house::House;
use crate::knative::Measures;
use crate::load::Load;
use crate::probe::Target;
use crate::refusal::Refusal;
use crate::replica::Replica;
use state::State;

/// Shared by all workers; one per function, kept over route snapshots.
#[derive(Debug)]
pub(crate) struct FunctionState {
    pub(crate) id: FunctionId,
    house: Arc<House>,
    state: Mutex<State>,
    /// Of a Revision.
    pub(crate) measures: Measures,
}

/// A request that wants in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// When it arrived.
    pub(crate) at: Instant,
    /// What it holds while it waits.
    pub(crate) bytes: u64,
    /// Another activator sent it: it goes no further.
    pub(crate) is_hop: bool,
}

/// A place in a function's order of arrival.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: u64,
    bytes: u64,
    is_hop: bool,
}

/// The way in.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A slot was free.
    Granted(Permit),
    /// It waits in the queue.
    Waiting(Ticket),
    Refused(Refusal),
}

type Grant = Result<Permit, Refusal>;

/// What follows from a change, done once the lock is released.
#[derive(Debug, Default)]
struct Effects {
    grants: Vec<(oneshot::Sender<Grant>, Grant)>,
    wake: Option<Wake>,
    drained: Vec<Drained>,
    is_newly_active: bool,
    /// The other activators have to be asked.
    is_claiming: bool,
    /// What is to be probed from now on.
    probes: Option<Vec<Target>>,
}

impl FunctionState {
    pub(crate) fn new(id: FunctionId, house: Arc<House>, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            id,
            house,
            state: Mutex::new(State::new(now)),
            measures: Measures::default(),
        })
    }

    /// A request arrived.
    pub(crate) fn enter(self: &Arc<Self>, request: Request) -> Entry {
        let mut effects = Effects::default();
        let entry = self.state.lock().enter(self, request, &mut effects);
        self.apply(effects);
        entry
    }

    /// The replica of `permit` could not be reached and nothing was sent: another one, or back
    /// into the queue at its old place. The pause, when given, is how long the replica is left
    /// alone; the caller then calls [`Self::reinstate`].
    pub(crate) fn fail_over(
        self: &Arc<Self>,
        mut permit: Permit,
        now: Instant,
    ) -> (Entry, Option<Duration>) {
        let mut effects = Effects::default();
        let replica = Arc::clone(&permit.replica);
        permit.is_spent = true;
        let (entry, pause) = {
            let mut state = self.state.lock();
            let pause = state.suspect(&replica);
            (state.reenter(self, &permit, now, &mut effects), pause)
        };
        self.apply(effects);
        (entry, pause)
    }

    /// The pause of [`Self::fail_over`] is over.
    pub(crate) fn reinstate(self: &Arc<Self>, replica: &Replica, now: Instant) {
        self.change(|state, effects| state.reinstate(self, replica, now, effects));
    }

    /// Takes the settings of a new route snapshot.
    pub(crate) fn configure(self: &Arc<Self>, routed: &RoutedFunction, now: Instant) {
        self.change(|state, effects| state.configure(self, routed, now, effects));
    }

    /// No route snapshot knows it any more.
    pub(crate) fn retire(self: &Arc<Self>, now: Instant) {
        self.change(|state, effects| state.retire(self, now, effects));
    }

    /// Refuses everybody who waits.
    pub(crate) fn refuse_waiting(self: &Arc<Self>, cause: Cause, now: Instant) {
        self.change(|state, effects| {
            state.refuse_waiting(self, &Refusal::new(cause), now, effects);
        });
    }

    /// Takes a new snapshot of replicas.
    pub(crate) fn observe(self: &Arc<Self>, snapshot: &EndpointSnapshot, now: Instant) {
        self.change(|state, effects| state.observe(self, snapshot, now, effects));
    }

    /// Takes replicas out of rotation.
    pub(crate) fn drain(self: &Arc<Self>, order: &Drain, now: Instant) {
        self.change(|state, effects| {
            state.drain(self, order, now, effects);
            // Whoever waits may need a replica all the sooner.
            state.wake_if_needed(self, now, effects);
        });
    }

    /// Puts what is left of a drain back into rotation.
    pub(crate) fn cancel_drain(self: &Arc<Self>, id: DrainId, now: Instant) {
        self.change(|state, effects| {
            state.cancel_drain(id);
            state.dispatch(self, now, effects);
        });
    }

    /// The replicas of a drain were told to stop.
    pub(crate) fn settle_drain(&self, id: DrainId, now: Instant) {
        self.state.lock().settle_drain(id, now);
    }

    /// Whether this drain still has replicas; an answer that got lost is repeated, and what was
    /// spared goes back into rotation.
    pub(crate) fn check_drain(self: &Arc<Self>, id: DrainId, now: Instant) -> bool {
        self.change(|state, effects| {
            state.put_back_spared(self, now);
            state.dispatch(self, now, effects);
            state.finished_drains(self, now, effects);
            state.prune_drains(now);
            state.has_drain(id)
        })
    }

    pub(crate) fn load(&self) -> Load {
        self.state.lock().load()
    }

    /// Whether a replica may be given requests now.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.lock().has_usable()
    }

    /// Asks for a replica on behalf of a request that does not wait for it.
    pub(crate) fn nudge(self: &Arc<Self>, now: Instant) {
        self.change(|state, effects| state.nudge(self, now, effects));
    }

    /// The load since the last report; `None` when there was none: it is no longer active.
    pub(crate) fn report(self: &Arc<Self>, now: Instant) -> Option<Stat> {
        let (report, busy) = self.change(|state, effects| {
            // What other activators said of their load may have grown old.
            state.dispatch(self, now, effects);
            state.wake_if_needed(self, now, effects);
            Some((state.report(now)?, state.busy()))
        })?;
        Some(Stat {
            function: self.id.clone(),
            at: clock::wall(),
            average_concurrency: report.average,
            request_count: f64::from(report.arrivals),
            in_flight: report.load.in_flight,
            queued: report.load.queued,
            busy,
        })
    }

    fn release(self: &Arc<Self>, permit: &Permit) {
        let now = Instant::now();
        self.change(|state, effects| {
            state.give_back(permit, now);
            state.dispatch(self, now, effects);
            state.finished_drains(self, now, effects);
        });
    }

    fn leave(self: &Arc<Self>, number: u64) {
        self.change(|state, _| state.leave(self, number, Instant::now()));
    }

    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, &mut Effects) -> T) -> T {
        let mut effects = Effects::default();
        let result = change(&mut self.state.lock(), &mut effects);
        self.apply(effects);
        result
    }

    fn apply(self: &Arc<Self>, effects: Effects) {
        if effects.is_newly_active {
            self.house.list(Arc::clone(self));
        }
        if effects.is_claiming {
            self.house.claims.list(Arc::clone(self));
        }
        if let Some(targets) = effects.probes {
            self.house.prober.set(Arc::clone(self), targets);
        }
        if let Some(wake) = effects.wake {
            self.house.tell(ToAutoscaler::Wake(wake));
        }
        for (waiter, grant) in effects.grants {
            // A waiter that left meanwhile: dropping the permit hands its slot to the next.
            drop(waiter.send(grant));
        }
        for drained in effects.drained {
            let id = drained.id;
            if self.house.tell(ToAutoscaler::Drained(drained)) {
                self.state.lock().drain_is_reported(id, Instant::now());
            }
        }
    }
}

/// One request at one replica, or at the activator that owns one. Dropping it frees the slot, for
/// the first waiter if there is one.
#[derive(Debug)]
pub(crate) struct Permit {
    function: Arc<FunctionState>,
    pub(crate) replica: Arc<Replica>,
    place: Place,
    /// `replica` is another activator.
    is_elsewhere: bool,
    /// The slot was given back otherwise.
    is_spent: bool,
}

impl Permit {
    fn new(function: &Arc<FunctionState>, replica: Arc<Replica>, place: Place) -> Self {
        Self {
            function: Arc::clone(function),
            replica,
            place,
            is_elsewhere: false,
            is_spent: false,
        }
    }

    fn elsewhere(function: &Arc<FunctionState>, way: Arc<Replica>, place: Place) -> Self {
        let mut permit = Self::new(function, way, place);
        permit.is_elsewhere = true;
        permit
    }

    /// It is for a hop to another activator.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    pub(crate) fn function(&self) -> &Arc<FunctionState> {
        &self.function
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_spent {
            let function = Arc::clone(&self.function);
            function.release(self);
        }
    }
}

/// One request in the queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    function: Arc<FunctionState>,
    number: u64,
    grant: oneshot::Receiver<Grant>,
    /// It found no replica ready.
    pub(crate) is_cold: bool,
}

impl Ticket {
    /// Waits for a slot.
    pub(crate) async fn granted(mut self) -> Grant {
        // The sender lives in the queue until it is used.
        (&mut self.grant)
            .await
            .unwrap_or(Err(Refusal::new(Cause::FunctionGone)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.function.leave(self.number);
    }
}
