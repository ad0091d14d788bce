//! Functions whose request path is switched: what is seen of the path, and samples of their load.

use std::time::Duration;

use zeron_core::decision::Cause;
use zeron_core::path::PathFacts;
use zeron_core::{FunctionId, Sample, Timestamp};

use super::entry::Entry;
use super::task::Task;
use crate::collector::LoadSample;
use crate::scrape::REPORTER;

/// A sample that is older came by a clock that is not ours.
const LATEST: Duration = Duration::from_secs(10);
/// Activators say each second what they carry. Of whom nothing was heard for so long, or since the
/// function was found, nothing is taken for counted.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

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
            let load = entry.uncounted_load(sample, now);
            entry.state.observe_load(at, &load);
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

impl Entry {
    /// What a sample adds to what else is counted. Replicas say which part of their load came
    /// through activators, who say it themselves; while none of them is heard, that part would be
    /// missing, and a busy function look idle. The original, whose activators take no requests
    /// without an autoscaler, takes it off all the same.
    fn uncounted_load(&mut self, sample: &Sample, now: Timestamp) -> LoadSample {
        let load = LoadSample::from(sample);
        if *sample.pod != *REPORTER {
            self.carried_at = Some(now);
            return load;
        }
        let is_heard = |at| now.since(at) <= HEARD_WITHIN;
        match self.carried_at.is_some_and(is_heard) {
            true => load,
            false => LoadSample {
                proxied_concurrency: 0.0,
                proxied_requests: 0.0,
                ..load
            },
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
