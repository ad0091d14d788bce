//! Functions whose request path is switched: what is seen of the path, and samples of their load.

use std::time::Duration;

use zeron_core::decision::Cause;
use zeron_core::path::PathFacts;
use zeron_core::{FunctionId, Sample, Timestamp};

use super::reporters::REMEMBERED;
use super::task::Task;

/// A sample that is older came by a clock that is not ours.
const LATEST: Duration = Duration::from_secs(REMEMBERED);

impl Task {
    /// Adds samples to the windows. Who is silent is not known to have nothing.
    pub(super) fn sample(&mut self, samples: &[Sample]) {
        let now = self.clock.now();
        for sample in samples {
            let Some(entry) = self.entries.get_mut(&sample.function) else {
                // Another autoscaler's, as a rule, on its way to its owner.
                continue;
            };
            let at = taken_at(sample.at, now);
            for (at, load) in entry.reporters.hear(sample, at, now) {
                entry.state.observe_load(at, &load);
            }
            if entry.state.is_poked() {
                self.decide(&sample.function, Cause::Grid);
            }
        }
    }

    pub(super) fn observe_path(&mut self, function: &FunctionId, facts: PathFacts) {
        let now = self.clock.now();
        let entry = self.entries.get_mut(function);
        if entry.is_some_and(|entry| entry.observe_path(facts, now)) {
            self.decide(function, Cause::Endpoints);
        }
    }
}

/// When a sample counts by our clock.
fn taken_at(at: Timestamp, now: Timestamp) -> Timestamp {
    if at > now || now.since(at) > LATEST {
        now
    } else {
        at
    }
}
