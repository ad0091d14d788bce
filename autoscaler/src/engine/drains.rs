//! The end of drains: when replicas may stop, and the last look before the last of them does.

use zeron_core::decision::Cause;
use zeron_core::{EndpointId, FunctionId};
use zeron_wire::{DrainId, Drained, ToActivator};

use super::replicas::Step;
use super::task::Task;

/// Reports to wait for before the last replica stops: one has everything in it that arrived before
/// the drain was done; of a merged one, any part may be a second older.
const REPORTS: u32 = 1;
const MERGED_REPORTS: u32 = 2;

/// A drain of the last replicas that is done.
#[derive(Debug)]
pub(crate) struct Settling {
    id: DrainId,
    endpoints: Vec<EndpointId>,
    reports_left: u32,
}

impl Task {
    /// Nothing is in flight on these replicas. They may stop, unless they are the last: a request
    /// may have been served since the last report, and then it is not yet time for zero.
    pub(super) fn finish_drain(&mut self, answer: Drained) {
        let entry = self.entries.get(&answer.function);
        match entry.and_then(|entry| entry.replicas.is_last(answer.id)) {
            None => {}
            Some(false) => self.stop(&answer.function, answer.id, answer.endpoints),
            Some(true) => {
                let reports_left = if self.is_merged {
                    MERGED_REPORTS
                } else {
                    REPORTS
                };
                let settling = Settling {
                    id: answer.id,
                    endpoints: answer.endpoints,
                    reports_left,
                };
                self.settling.insert(answer.function, settling);
            }
        }
    }

    /// A report came, and every function in it was decided for: what was not taken back by that
    /// may stop. While not everybody is heard, it waits.
    pub(super) fn settle(&mut self) {
        if self.unheard.is_some() || self.lost.is_some() {
            return;
        }
        for settling in self.settling.values_mut() {
            settling.reports_left = settling.reports_left.saturating_sub(1);
        }
        let done: Vec<(FunctionId, Settling)> = self
            .settling
            .extract_if(|_, settling| settling.reports_left == 0)
            .collect();
        for (function, settling) in done {
            self.stop(&function, settling.id, settling.endpoints);
        }
    }

    /// Stops drained replicas, if their drain was not taken back.
    fn stop(&mut self, function: &FunctionId, id: DrainId, endpoints: Vec<EndpointId>) {
        let now = self.clock.now();
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        let Some(step) = entry.replicas.drained(id, endpoints) else {
            return;
        };
        if let Step::Scale { .. } = step {
            entry.lowered_at = Some(now);
        }
        self.take_step(function, step);
        self.outbox.send(ToActivator::Settled(id));
        self.decide(function, Cause::Endpoints);
    }
}
