//! When a function asks for replicas.

use tokio::time::Instant;
use zeron_wire::Wake;

use super::state::State;
use super::{Effects, FunctionState};

impl State {
    /// Asks for replicas when fewer are usable than those here need.
    pub(super) fn wake_if_needed(
        &mut self,
        function: &FunctionState,
        now: Instant,
        effects: &mut Effects,
    ) {
        if self.queue.is_empty() {
            return;
        }
        let slots = self.usable.iter().map(|it| it.fill(self.limit).slots);
        let capacity = slots.fold(0, u32::saturating_add);
        if self.load().total() > capacity {
            self.wake_for(function, now, 0, effects);
        }
    }

    /// A request that does not wait wants a replica all the same.
    pub(super) fn nudge(&mut self, function: &FunctionState, now: Instant, effects: &mut Effects) {
        self.arrive(now, effects);
        self.wake_for(function, now, 1, effects);
    }

    pub(super) fn wake_for(
        &mut self,
        function: &FunctionState,
        now: Instant,
        unqueued: u32,
        effects: &mut Effects,
    ) {
        let load = self.load();
        let amount = load.total().saturating_add(unqueued);
        if self.is_wake_allowed && !self.is_retired && self.gate.pass(now, amount) {
            effects.wake = Some(Wake {
                function: function.id.clone(),
                in_flight: load.in_flight,
                queued: load.queued.saturating_add(unqueued),
            });
        }
    }
}
