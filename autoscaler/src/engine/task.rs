//! The task that owns every function: one event at a time, each answered within its turn.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use zeron_core::decision::{Cause, Decision};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::{
    Backend, EndpointSnapshot, FunctionId, JobCounts, ScalerRegistry, Stat, Timestamp,
};
use zeron_wire::{AutoscalerLink, Coverage, Drain, DrainId, ToActivator, ToAutoscaler, Wake};

use super::clock::Clock;
use super::drains::Settling;
use super::entry::{Circumstances, Entry};
use super::inbox::{Command, Mail};
use super::outbox::Outbox;
use super::poll::{Answer, Polls};
use super::replicas::Step;
use super::sources::Lesson;
use super::timers::{TimerKey, Timers};
use super::{EngineConfig, EngineHandle};
use crate::collector::LoadSample;

/// Messages of the activator taken in one turn.
const BATCH: usize = 256;
/// Timers and answers taken in one turn: what arrives meanwhile waits no longer than for these.
const TURN: usize = 64;
/// Answers of sources that may wait for the engine.
const ANSWERS: usize = 1_024;
/// A function's timer is never nearer than this.
const SOONEST: Duration = Duration::from_millis(1);
/// How long to wait for room on a full link to the activator.
const FLUSH_AGAIN: Duration = Duration::from_millis(10);

pub(crate) struct Task {
    pub(super) handle: EngineHandle,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) registry: Arc<dyn ScalerRegistry>,
    pub(super) clock: Arc<dyn Clock>,
    from_activator: mpsc::Receiver<ToAutoscaler>,
    pub(super) outbox: Outbox,
    answers: mpsc::Receiver<Answer>,
    /// Answers not yet looked at; a large batch is taken in turns, between wake-ups.
    pub(super) lessons: VecDeque<Lesson>,
    pub(super) polls: Polls,
    pub(super) timers: Timers,
    pub(super) entries: HashMap<FunctionId, Entry>,
    /// Of every function that a back end published, known to us or not yet.
    pub(super) endpoints: HashMap<FunctionId, Arc<EndpointSnapshot>>,
    /// Counts that the platform says, of functions known to us or not yet.
    pub(super) declared: HashMap<FunctionId, u32>,
    /// Jobs that the platform has, of functions known to us or not yet.
    pub(super) jobs: HashMap<FunctionId, JobCounts>,
    /// Functions whose load was not zero in the last report.
    pub(super) loaded: HashSet<FunctionId>,
    /// Last drains that are done, until a report shows that nothing arrived meanwhile.
    pub(super) settling: HashMap<FunctionId, Settling>,
    /// Several activators: their reports come merged.
    pub(super) is_merged: bool,
    /// Set once the activator is gone.
    pub(super) lost: Option<(Unknown, Timestamp)>,
    /// Set while one of several activators is not heard.
    pub(super) unheard: Option<(Unknown, Timestamp)>,
    next_drain: u64,
    pub(super) replica_cap: Option<u32>,
    history: usize,
}

impl Task {
    pub(crate) fn new(
        config: &EngineConfig,
        handle: EngineHandle,
        backend: Arc<dyn Backend>,
        registry: Arc<dyn ScalerRegistry>,
        link: AutoscalerLink,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (sender, answers) = mpsc::channel(ANSWERS);
        Self {
            handle,
            backend,
            registry,
            clock,
            from_activator: link.receiver,
            outbox: Outbox::new(link.sender),
            answers,
            lessons: VecDeque::new(),
            polls: Polls::new(sender, config.poll_runtime.clone()),
            timers: Timers::default(),
            entries: HashMap::new(),
            endpoints: HashMap::new(),
            declared: HashMap::new(),
            jobs: HashMap::new(),
            loaded: HashSet::new(),
            settling: HashMap::new(),
            is_merged: false,
            lost: None,
            unheard: None,
            next_drain: 1,
            replica_cap: config.replica_cap,
            history: config.history,
        }
    }

    /// Runs until the engine is stopped.
    pub(crate) async fn run(mut self) {
        let stop = self.handle.stop.clone();
        // Whoever waits for us learns of the end, however it comes.
        let _ended = stop.clone().drop_guard();
        let inbox = Arc::clone(&self.handle.inbox);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let until_due = self.until_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                count = self.from_activator.recv_many(&mut batch, BATCH), if self.lost.is_none() => {
                    // A wake-up may be for a function that was declared just before.
                    self.open(inbox.take());
                    if count == 0 {
                        self.lose_activator();
                    }
                    self.hear(&mut batch);
                }
                () = inbox.arrived() => self.open(inbox.take()),
                Some(answer) = self.answers.recv() => self.take_answer(answer),
                () = std::future::ready(()), if !self.lessons.is_empty() => self.learn(TURN),
                () = tokio::time::sleep(until_due.unwrap_or_default()), if until_due.is_some() => {}
            }
            self.fire();
            if !self.lessons.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    fn until_due(&self) -> Option<Duration> {
        let due = self.timers.next()?;
        Some(due.since(self.clock.now()))
    }

    /// What is due now, a turn's worth of it.
    fn fire(&mut self) {
        let now = self.clock.now();
        for _ in 0..TURN {
            let Some(key) = self.timers.pop(now) else {
                break;
            };
            match key {
                TimerKey::Decide(function) => self.decide(&function, Cause::Timer),
                TimerKey::Drift(function) => self.look_at_drift(&function),
                TimerKey::Rebind(function) => self.rebind(&function),
                TimerKey::Poll(poll) => {
                    let next = self.polls.turn(&poll, now);
                    self.timers.set(TimerKey::Poll(poll), next);
                }
                TimerKey::Pushed(poll) => {
                    let next = self.polls.read_pushed(&poll, now);
                    self.timers.set(TimerKey::Pushed(poll), next);
                }
                TimerKey::Flush => self.outbox.flush(),
            }
        }
        if self.outbox.is_waiting() {
            self.timers.set(TimerKey::Flush, Some(now + FLUSH_AGAIN));
        }
    }

    // === from the activator ===

    /// Wake-ups before drains: a replica is not stopped while somebody waits for one.
    fn hear(&mut self, batch: &mut Vec<ToAutoscaler>) {
        let mut drained = Vec::new();
        for message in batch.drain(..) {
            match message {
                ToAutoscaler::Wake(wake) => {
                    self.handle.requests.wake(&wake);
                    self.wake(&wake);
                }
                ToAutoscaler::Stats(stats) => {
                    self.handle.requests.count(&stats, self.clock.now());
                    self.count(&stats);
                }
                ToAutoscaler::Samples(samples) => self.sample(&samples),
                ToAutoscaler::Drained(answer) => drained.push(answer),
                ToAutoscaler::Coverage(coverage) => {
                    self.handle.requests.cover(&coverage);
                    self.cover(coverage);
                }
                // A hub keeps these to itself; one activator in the same process ends the link.
                ToAutoscaler::Goodbye => {}
            }
        }
        for answer in drained {
            self.finish_drain(answer);
        }
    }

    fn wake(&mut self, wake: &Wake) {
        let Some(entry) = self.entries.get_mut(&wake.function) else {
            // Another autoscaler's, as a rule: its owner answers.
            tracing::debug!(function = %wake.function, "wake-up for a function that is not known");
            return;
        };
        entry.in_flight = wake.in_flight;
        entry.queued = wake.queued;
        let is_empty = entry.endpoints.as_ref().is_none_or(|it| it.ready() == 0);
        self.loaded.insert(wake.function.clone());
        let cause = if is_empty {
            Cause::FirstWaiter
        } else {
            Cause::Backlog
        };
        let is_ours = entry.uncounted.is_none();
        let asked = entry.replicas.asked();
        self.decide(&wake.function, cause);
        if is_ours {
            self.insist(&wake.function, asked);
            let woken = ToActivator::Woken(wake.function.clone());
            self.outbox.send(woken);
        }
    }

    /// A second's report: whoever is not in it has no requests.
    fn count(&mut self, stats: &[Stat]) {
        let now = self.clock.now();
        let mut silent = std::mem::take(&mut self.loaded);
        for stat in stats {
            silent.remove(&stat.function);
            let Some(entry) = self.entries.get_mut(&stat.function) else {
                continue;
            };
            entry.is_heard = true;
            entry.in_flight = stat.in_flight;
            entry.queued = stat.queued;
            let sample = LoadSample {
                concurrency: stat.average_concurrency,
                requests: stat.request_count,
                ..LoadSample::default()
            };
            entry.state.observe_load(now, &sample);
            let cause = entry.report_cause();
            let taken_back = if sample.has_requests() {
                entry.revive()
            } else {
                Vec::new()
            };
            for step in taken_back {
                self.take_step(&stat.function, step);
            }
            self.loaded.insert(stat.function.clone());
            self.decide(&stat.function, cause);
        }
        for function in silent {
            if let Some(entry) = self.entries.get_mut(&function) {
                entry.is_heard = true;
                entry.in_flight = 0;
                entry.queued = 0;
                let cause = entry.report_cause();
                self.decide(&function, cause);
            }
        }
        self.settle();
    }

    /// While some activator is not heard, nothing goes down.
    fn cover(&mut self, coverage: Coverage) {
        let now = self.clock.now();
        let was_partial = self.unheard.is_some();
        self.is_merged = true;
        self.unheard = match coverage {
            Coverage::Complete => None,
            Coverage::Partial { message } => {
                let kind = UnknownKind::Transport;
                let since = self.unheard.as_ref().map_or(now, |(_, since)| *since);
                Some((Unknown { kind, message }, since))
            }
        };
        for (function, entry) in &mut self.entries {
            if was_partial {
                entry.doubt(now);
            }
            // In turns, between wake-ups. At zero there is nothing that could go down.
            if entry.replicas.asked() > 0 {
                let decide = TimerKey::Decide(function.clone());
                self.timers.set(decide, Some(now));
            }
        }
    }

    fn lose_activator(&mut self) {
        self.handle.requests.lose();
        let reason = Unknown {
            kind: UnknownKind::Transport,
            message: "the activator is gone".to_owned(),
        };
        self.lost = Some((reason, self.clock.now()));
        let functions: Vec<_> = self.entries.keys().cloned().collect();
        for function in functions {
            self.decide(&function, Cause::Poll);
        }
    }

    // === from the inbox ===

    pub(crate) fn open(&mut self, mail: Mail) {
        for (function, snapshot) in mail.endpoints {
            self.observe_endpoints(&function, snapshot);
        }
        for (function, count) in mail.declared {
            self.observe_declared(&function, count);
        }
        for (function, counts) in mail.jobs {
            self.observe_jobs(&function, counts);
        }
        for (function, command) in mail.commands {
            match command {
                Command::Apply(definition, found) => self.apply(definition, found),
                Command::Replace(definition, found) => {
                    self.remove(&function);
                    self.apply(definition, found);
                }
                Command::Remove => {
                    self.remove(&function);
                    if !self.endpoints.contains_key(&function) {
                        self.declared.remove(&function);
                        self.jobs.remove(&function);
                    }
                }
            }
        }
        for (function, facts) in mail.paths {
            self.observe_path(&function, facts);
        }
        self.polls.read_fresh();
        for (function, key) in mail.pushes {
            self.push(&function, key);
        }
        self.read_pushed();
        drop(mail.waiting);
    }

    // === decisions ===

    /// Decides for one function and takes the steps, before anything else happens.
    pub(super) fn decide(&mut self, function: &FunctionId, cause: Cause) {
        if self.entries.get(function).is_some_and(Entry::has_jobs) {
            return self.decide_jobs(function, cause);
        }
        let around = Circumstances {
            lost: self.lost.clone(),
            unheard: self.unheard.clone(),
            cap: self.replica_cap,
            now: self.clock.now(),
        };
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        if entry.uncounted.is_some() {
            return;
        }
        let decision = entry.decide(cause, &around);
        let next_drain = &mut self.next_drain;
        let next_id = || {
            *next_drain += 1;
            DrainId(*next_drain)
        };
        let must_drain = entry.is_counted();
        let before = entry.replicas.asked();
        let steps = entry.replicas.steer(decision.desired, must_drain, next_id);
        if entry.replicas.asked() < before {
            entry.lowered_at = Some(around.now);
        }
        for step in steps {
            self.take_step(function, step);
        }
        self.record(function, decision);
    }

    pub(super) fn take_step(&mut self, function: &FunctionId, step: Step) {
        match step {
            Step::Scale { count, victims } => self.backend.scale(function, count, &victims),
            Step::Cancel(id) => self.outbox.send(ToActivator::Cancel(id)),
            Step::Drain { id, count } => {
                let left = self.entries.get(function).map(|it| it.replicas.current());
                let victims = left.and_then(|it| self.backend.predicted_victims(function, it));
                self.outbox.send(ToActivator::Drain(Drain {
                    id,
                    function: function.clone(),
                    count,
                    victims,
                }));
            }
        }
    }

    /// What can wait until after the steps: history, status, timers.
    pub(super) fn record(&mut self, function: &FunctionId, decision: Decision) {
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        let desired = decision.desired;
        if desired != decision.current {
            tracing::debug!(
                %function,
                cause = ?decision.cause,
                from = decision.current,
                to = desired,
                "scaled"
            );
        }
        entry.view.remember(Arc::new(decision), self.history);
        // Never at once again, whatever a decision says: other events come first.
        let soonest = self.clock.now() + SOONEST;
        let due = entry.state.due().map(|due| due.max(soonest));
        let is_changed = entry.publish(desired);
        self.timers.set(TimerKey::Decide(function.clone()), due);
        if is_changed {
            self.announce(function);
        }
    }

    pub(super) fn announce(&self, function: &FunctionId) {
        // Nobody listens: nobody misses it.
        drop(self.handle.changes.send(function.clone()));
    }
}
