//! Which functions this engine decides for, and what the platform says of their counts.

use std::sync::Arc;
use std::time::Duration;

use zeron_core::decision::Cause;
use zeron_core::policy::Writer;
use zeron_core::{Function, FunctionId, Timestamp};

use super::Found;
use super::entry::{Entry, existing};
use super::inbox::Endpoints;
use super::sources::triggers_of;
use super::task::Task;
use super::timers::TimerKey;
use crate::state::Start;

/// How long what we asked for may take to show in the platform's count.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);
/// How often a count that does not come about is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

impl Task {
    pub(super) fn observe_endpoints(&mut self, function: &FunctionId, snapshot: Endpoints) {
        let Some(snapshot) = snapshot else {
            self.endpoints.remove(function);
            self.declared.remove(function);
            self.jobs.remove(function);
            if let Some(entry) = self.entries.get_mut(function) {
                entry.endpoints = None;
            }
            return;
        };
        self.endpoints
            .insert(function.clone(), Arc::clone(&snapshot));
        let declared = self.declared.get(function).copied();
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        let count = declared.unwrap_or_else(|| existing(&snapshot));
        entry.observe_endpoints(snapshot, declared);
        // Of Jobs a snapshot says only what is wrong.
        if entry.uncounted.is_some() && !entry.has_jobs() {
            self.begin(function, count);
        } else {
            self.decide(function, Cause::Endpoints);
        }
    }

    /// The platform says how many replicas it was asked for, by us or by others.
    pub(super) fn observe_declared(&mut self, function: &FunctionId, count: u32) {
        self.declared.insert(function.clone(), count);
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        if entry.uncounted.is_some() {
            self.begin(function, count);
            return;
        }
        let scale = &entry.function.scale;
        let is_theirs = scale.writer == Writer::External
            || (scale.pause.is_frozen && !entry.replicas.is_draining());
        if is_theirs {
            entry.replicas.follow(count);
            self.decide(function, Cause::Endpoints);
        } else {
            self.compare(function, count);
        }
    }

    /// More than we asked for: somebody else asked (an activator that was not answered in time, a
    /// person), and that is taken over; what we asked for and was not written yet must not be
    /// written afterwards. What we ourselves lowered a moment ago may still be on its way, and so
    /// may what we raised.
    fn compare(&mut self, function: &FunctionId, count: u32) {
        let now = self.clock.now();
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        let asked = entry.replicas.asked();
        let is_on_its_way = entry.replicas.is_draining()
            || entry.lowered_at.is_some_and(|at| now < at + SETTLES_WITHIN);
        let look_again = if count == asked {
            None
        } else if count > asked && !is_on_its_way && self.backend.withdraw(function) {
            tracing::info!(%function, from = asked, to = count, "somebody else raised the count");
            entry.replicas.follow(count);
            entry.doubt(now);
            self.decide(function, Cause::Endpoints);
            None
        } else {
            Some(now + SETTLES_WITHIN)
        };
        self.timers
            .set(TimerKey::Drift(function.clone()), look_again);
    }

    /// The count is still not what we asked for.
    pub(super) fn look_at_drift(&mut self, function: &FunctionId) {
        let Some(&count) = self.declared.get(function) else {
            return;
        };
        let Some(entry) = self.entries.get(function) else {
            return;
        };
        let asked = entry.replicas.asked();
        if count < asked && !entry.replicas.is_draining() {
            tracing::info!(%function, asked, found = count, "asking for replicas again");
            self.backend.scale(function, asked, &[]);
            let again = self.clock.now() + ASK_AGAIN;
            let drift = TimerKey::Drift(function.clone());
            self.timers.set(drift, Some(again));
        } else {
            self.compare(function, count);
        }
    }

    /// Somebody waits for replicas that were asked for before, and the platform says that none are
    /// wanted: somebody else took the request back, or it did not arrive yet.
    pub(super) fn insist(&mut self, function: &FunctionId, asked_before: u32) {
        let Some(entry) = self.entries.get(function) else {
            return;
        };
        let asked = entry.replicas.asked();
        let is_open = asked > 0 && asked == asked_before && !entry.replicas.is_draining();
        if is_open && self.declared.get(function) == Some(&0) {
            self.backend.scale(function, asked, &[]);
        }
    }

    pub(super) fn apply(&mut self, definition: Arc<Function>, found: Option<Found>) {
        let now = self.clock.now();
        let id = definition.id.clone();
        if let Some(entry) = self.entries.remove(&id) {
            self.redefine(entry, definition, now);
        } else {
            self.adopt(definition, found, now);
        }
        self.refresh(&id, now);
        self.decide(&id, Cause::Applied);
        self.announce(&id);
    }

    fn redefine(&mut self, mut entry: Entry, definition: Arc<Function>, now: Timestamp) {
        let id = definition.id.clone();
        let is_bound_alike = triggers_of(&entry.function) == triggers_of(&definition);
        let is_counted = entry.uncounted.is_none();
        if !is_bound_alike {
            self.unbind(&mut entry);
        }
        entry.redefine(definition, now);
        if !is_bound_alike && is_counted {
            self.bind(&mut entry, now);
        }
        self.entries.insert(id, entry);
    }

    /// A function that is new to us: just declared, or found.
    fn adopt(&mut self, definition: Arc<Function>, found: Option<Found>, now: Timestamp) {
        let id = definition.id.clone();
        let endpoints = self.endpoints.get(&id).cloned();
        let declared = self.declared.get(&id).copied();
        let count = match definition.scale.jobs {
            Some(_) => self.jobs.get(&id).map(|counts| counts.running),
            None => declared.or_else(|| endpoints.as_deref().map(existing)),
        };
        let count = found.and_then(|found| found.replicas).or(count);
        let start = match (found, count) {
            (None, None | Some(0)) => Start::Created,
            (found, count) => start(found.unwrap_or_default(), count.unwrap_or(0), now),
        };
        let mut entry = Entry::new(definition, endpoints, start, now);
        if let Some(counts) = self.jobs.get(&id) {
            entry.observe_jobs(*counts, now);
        }
        if let (Some(found), None) = (found, count) {
            // Nobody is shown a count that is not known.
            entry.uncounted = Some(found);
        } else {
            self.show(&entry);
            self.bind(&mut entry, now);
        }
        if !entry.is_heard {
            // The next report says how much it has, be it by saying nothing.
            self.loaded.insert(id.clone());
        }
        self.entries.insert(id, entry);
    }

    /// Now the count is known: the function begins here.
    pub(super) fn begin(&mut self, function: &FunctionId, count: u32) {
        let now = self.clock.now();
        let Some(mut entry) = self.entries.remove(function) else {
            return;
        };
        let found = entry.uncounted.take().unwrap_or_default();
        entry.begin(start(found, count, now), now);
        if let Some(counts) = self.jobs.get(function) {
            entry.observe_jobs(*counts, now);
        }
        self.show(&entry);
        self.bind(&mut entry, now);
        self.entries.insert(function.clone(), entry);
        self.polls.read_fresh();
        self.refresh(function, now);
        self.decide(function, Cause::Applied);
        self.announce(function);
    }

    fn show(&self, entry: &Entry) {
        let id = entry.function.id.clone();
        self.handle.views.insert(id, Arc::clone(&entry.view));
    }

    pub(super) fn remove(&mut self, function: &FunctionId) {
        let Some(mut entry) = self.entries.remove(function) else {
            return;
        };
        self.unbind(&mut entry);
        for step in entry.replicas.cancel_all() {
            self.take_step(function, step);
        }
        for key in [TimerKey::Decide, TimerKey::Rebind, TimerKey::Drift] {
            self.timers.set(key(function.clone()), None);
        }
        self.loaded.remove(function);
        self.settling.remove(function);
        self.handle.views.remove(function);
        self.announce(function);
    }
}

/// Another clock wrote down when it was last active: not later than now, by ours.
fn start(found: Found, replicas: u32, now: Timestamp) -> Start {
    Start::Found {
        replicas,
        last_active: found.last_active.map(|at| at.min(now)),
    }
}
