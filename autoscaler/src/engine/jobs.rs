//! Functions whose work is done by Jobs: decided for once per answer of all their triggers.
//!
//! They are polled as all others are, in the same batches; only what follows from an answer is
//! another: an order for Jobs instead of a count of replicas.

use std::sync::Arc;

use tokio::time::Instant;
use zeron_core::decision::Cause;
use zeron_core::{FunctionId, JobCounts};

use super::entry::{Binding, Circumstances};
use super::poll::{Member, PollKey};
use super::sources::trigger_at;
use super::task::Task;

impl Task {
    /// The platform says how many Jobs there are, those included that it is creating for us.
    pub(super) fn observe_jobs(&mut self, function: &FunctionId, counts: JobCounts) {
        self.jobs.insert(function.clone(), counts);
        let now = self.clock.now();
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        if entry.uncounted.is_some() && entry.has_jobs() {
            return self.begin(function, counts.running);
        }
        entry.observe_jobs(counts, now);
        self.decide(function, Cause::Endpoints);
    }

    /// Orders Jobs once every trigger has answered; until then only what is seen changes.
    pub(super) fn decide_jobs(&mut self, function: &FunctionId, cause: Cause) {
        let around = Circumstances {
            lost: None,
            unheard: None,
            cap: self.replica_cap,
            now: self.clock.now(),
        };
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        if entry.uncounted.is_some() {
            return;
        }
        if !entry.state.is_job_round_complete(&entry.function.scale) {
            let running = entry.replicas.current();
            if entry.publish(running) {
                self.announce(function);
            }
            return;
        }
        let decision = entry.decide(cause, &around);
        let created = decision.desired.saturating_sub(decision.current);
        entry.ordered_at = Some(Instant::now());
        let begun = entry.state.job_counts().begun + u64::from(created);
        // Also none: what could not be created of an older order is not wanted any more.
        self.backend.create_jobs(function, begun);
        self.record(function, decision);
    }

    /// Every trigger of a function with Jobs is to be read, since one of them has work: only together
    /// they say how many Jobs to create.
    pub(super) fn push_for_jobs(&mut self, function: &FunctionId) {
        let Some(entry) = self.entries.get(function) else {
            return;
        };
        for Binding { key, bound } in &entry.bindings {
            let Ok(bound) = bound else {
                continue;
            };
            let Some((_, interval)) = trigger_at(&entry.function, *key) else {
                continue;
            };
            let poll = PollKey {
                source: Arc::clone(&bound.source),
                interval,
            };
            let member = Member {
                function: function.clone(),
                key: *key,
                handle: bound.handle,
            };
            self.polls.push(&poll, member);
        }
    }
}
