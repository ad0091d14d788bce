//! When waiting is in vain: the platform's failures, pauses, deletions.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::StartFailure;

use super::state::{RETRY_AFTER, State};
use super::{Effects, FunctionState};
use crate::cause::Cause;
use crate::clock;
use crate::refusal::Refusal;

impl State {
    /// Takes the newest failure; those who wait are told when it ends their wait.
    ///
    /// A failure is told once to those who wait for an attempt of their own (at zero, where the
    /// next wake-up makes one), and always where the platform is failing at it now.
    pub(super) fn learn_failure(
        &mut self,
        function: &FunctionState,
        failure: Option<&StartFailure>,
        had_usable: bool,
        now: Instant,
        effects: &mut Effects,
    ) {
        let old = std::mem::replace(&mut self.failure, failure.cloned());
        let Some(failure) = failure.filter(|failure| failure.is_final) else {
            return;
        };
        let is_new = old.is_none_or(|old| old.at != failure.at || !old.is_final);
        if !self.has_usable() && (is_new || had_usable || self.is_stuck(failure)) {
            let refusal = function.start_failed(failure, retry_after(failure));
            self.refuse_waiting(function, &refusal, now, effects);
        }
    }

    /// Replicas were asked for, and this failure is what they meet.
    fn is_stuck(&self, failure: &StartFailure) -> bool {
        failure.retry_at.is_none() && (self.pending > 0 || !self.seats.is_empty())
    }

    /// Why waiting is in vain, if it is.
    pub(super) fn hopeless(&self, function: &FunctionState) -> Option<Refusal> {
        if self.is_retired {
            return Some(Refusal::new(Cause::FunctionGone));
        }
        if self.is_asleep() {
            return Some(Refusal::new(Cause::Paused).retry_after(RETRY_AFTER));
        }
        let failure = self.failure.as_ref().filter(|failure| failure.is_final)?;
        if self.has_usable() {
            return None;
        }
        if self.is_stuck(failure) {
            return Some(function.start_failed(failure, RETRY_AFTER));
        }
        let retry_at = failure.retry_at.filter(|at| *at > clock::wall())?;
        let wait = retry_at.since(clock::wall());
        Some(function.start_failed(failure, wait))
    }

    /// At zero, and nobody may wake it.
    fn is_asleep(&self) -> bool {
        !self.is_wake_allowed && self.pending == 0 && self.seats.is_empty()
    }

    /// Those who wait already wait for the next attempt, unless there will be none.
    pub(super) fn refuse_if_hopeless(
        &mut self,
        function: &Arc<FunctionState>,
        now: Instant,
        effects: &mut Effects,
    ) {
        if self.is_asleep() && !self.queue.is_empty() {
            let refusal = Refusal::new(Cause::Paused).retry_after(RETRY_AFTER);
            self.refuse_waiting(function, &refusal, now, effects);
        }
    }
}

impl FunctionState {
    fn start_failed(&self, failure: &StartFailure, wait: Duration) -> Refusal {
        Refusal::start_failed(failure, wait, self.house.platform_reason)
    }
}

fn retry_after(failure: &StartFailure) -> Duration {
    failure
        .retry_at
        .map_or(RETRY_AFTER, |at| at.since(clock::wall()))
}
