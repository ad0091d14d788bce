//! Replicas whose readiness is this activator's to find out.

use std::sync::Arc;

use tokio::time::Instant;

use super::state::State;
use super::{Effects, FunctionState};
use crate::probe::Target;

impl State {
    /// Says which replicas are to be probed, when that may have changed.
    pub(super) fn find_out(&mut self, effects: &mut Effects) {
        let targets: Vec<Target> = (self.seats.iter())
            .filter_map(|seat| Some(Target::new(&seat.replica, seat.wants_probe()?)))
            .collect();
        let was_probing = std::mem::replace(&mut self.is_probing, !targets.is_empty());
        if was_probing || self.is_probing {
            effects.probes = Some(targets);
        }
    }
}

impl FunctionState {
    /// The replica with this key is refused to our probe. When the platform calls it ready, and no
    /// other one can be reached either, whoever finds ways to replicas is told.
    pub(crate) fn refused(&self, key: u64) {
        let is_cut_off = {
            let state = self.state.lock();
            let mut seats = state.seats.iter();
            !state.has_usable() && seats.any(|seat| seat.replica.key == key && seat.is_ready)
        };
        if is_cut_off {
            self.house.say_refused(&self.id);
        }
    }

    /// The replica with this key answered its probe: it is usable at once.
    pub(crate) fn probed(self: &Arc<Self>, key: u64, now: Instant) {
        self.change(|state, effects| {
            for seat in &mut state.seats {
                if seat.replica.key == key && seat.wants_probe().is_some() {
                    seat.is_probed = true;
                }
            }
            state.refresh_usable();
            state.dispatch(self, now, effects);
            state.wake_if_needed(self, now, effects);
        });
    }
}
