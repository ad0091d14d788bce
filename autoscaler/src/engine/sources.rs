//! Triggers of functions and the sources that they are bound to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::decision::Cause;
use zeron_core::metric::{MetricReading, Unknown};
use zeron_core::policy::{Scaling, TriggerSource, TriggerSpec};
use zeron_core::roles::{BoundTrigger, TriggerHandle};
use zeron_core::{Function, FunctionId, Timestamp};

use super::entry::{Binding, Entry};
use super::poll::{Answer, Member, PollKey};
use super::task::Task;
use super::timers::TimerKey;
use crate::state::TriggerKey;

/// What one trigger's source answered.
#[derive(Debug)]
pub(super) struct Lesson {
    source: Arc<str>,
    member: Member,
    asked: Instant,
    result: Result<Vec<MetricReading>, Unknown>,
}

impl Task {
    /// A source says that a trigger has work: it counts at once, and is read with all others that were
    /// pushed meanwhile, by [`Self::read_pushed`].
    pub(super) fn push(&mut self, function: &FunctionId, key: TriggerKey) {
        let Some(entry) = self.entries.get_mut(function) else {
            return;
        };
        entry.state.observe_push(key);
        if entry.has_jobs() {
            return self.push_for_jobs(function);
        }
        let binding = entry.bindings.iter().find(|binding| binding.key == key);
        if let Some(bound) = binding.and_then(|binding| binding.bound.as_ref().ok())
            && let Some((_, interval)) = trigger_at(&entry.function, key)
        {
            let poll = PollKey {
                source: Arc::clone(&bound.source),
                interval,
            };
            let member = Member {
                function: function.clone(),
                key,
                handle: bound.handle,
            };
            self.polls.push(&poll, member);
        }
        self.decide(function, Cause::Push);
    }

    /// Reads what pushes ask for, or sets the time at which each of their sources may be read again.
    pub(super) fn read_pushed(&mut self) {
        let now = self.clock.now();
        for poll in self.polls.take_pushed() {
            let next = self.polls.read_pushed(&poll, now);
            self.timers.set(TimerKey::Pushed(poll), next);
        }
    }

    /// Binds every trigger of a scaler; what cannot be bound is unknown and tried again.
    pub(super) fn bind(&mut self, entry: &mut Entry, now: Timestamp) {
        for (key, source, interval) in triggers_of(&entry.function) {
            let bound = self.registry.bind(source);
            match &bound {
                Ok(bound) => {
                    self.follow(&entry.function.id, key, interval, bound, now);
                }
                Err(unknown) => {
                    entry.state.observe_metric(key, Err(unknown.clone()), now);
                    let rebind = TimerKey::Rebind(entry.function.id.clone());
                    self.timers.set(rebind, Some(now + interval));
                }
            }
            entry.bindings.push(Binding { key, bound });
        }
    }

    fn follow(
        &mut self,
        function: &FunctionId,
        key: TriggerKey,
        interval: Duration,
        bound: &BoundTrigger,
        now: Timestamp,
    ) {
        let member = Member {
            function: function.clone(),
            key,
            handle: bound.handle,
        };
        let (poll, next) = self.polls.add(interval, bound, member, now);
        self.timers.set(TimerKey::Poll(poll), Some(next));
        let (inbox, function) = (Arc::clone(&self.handle.inbox), function.clone());
        let on_change = move |_: TriggerHandle| inbox.push(&function, key);
        let _runtime = self.polls.enter();
        bound.scaler.watch(bound.handle, Arc::new(on_change));
    }

    pub(super) fn unbind(&mut self, entry: &mut Entry) {
        let id = &entry.function.id;
        self.timers.set(TimerKey::Rebind(id.clone()), None);
        for binding in std::mem::take(&mut entry.bindings) {
            let Ok(bound) = binding.bound else {
                continue;
            };
            if let Some((_, interval)) = trigger_at(&entry.function, binding.key)
                && let Some(empty) = self.polls.remove(interval, &bound, id, binding.key)
            {
                self.timers.set(TimerKey::Pushed(empty.clone()), None);
                self.timers.set(TimerKey::Poll(empty), None);
            }
            bound.scaler.release(bound.handle);
        }
    }

    /// Tries again what could not be bound; each try counts as one failed poll.
    pub(super) fn rebind(&mut self, function: &FunctionId) {
        let now = self.clock.now();
        let Some(mut entry) = self.entries.remove(function) else {
            return;
        };
        let mut bindings = std::mem::take(&mut entry.bindings);
        for binding in bindings.iter_mut().filter(|binding| binding.bound.is_err()) {
            let Some((source, interval)) = trigger_at(&entry.function, binding.key) else {
                continue;
            };
            binding.bound = self.registry.bind(source);
            match &binding.bound {
                Ok(bound) => self.follow(function, binding.key, interval, bound, now),
                Err(unknown) => {
                    let unknown = Err(unknown.clone());
                    entry.state.observe_metric(binding.key, unknown, now);
                    let rebind = TimerKey::Rebind(function.clone());
                    self.timers.set(rebind, Some(now + interval));
                }
            }
        }
        entry.bindings = bindings;
        self.entries.insert(function.clone(), entry);
        self.polls.read_fresh();
        self.refresh(function, now);
        self.decide(function, Cause::Poll);
    }

    /// Takes a source's answer; its triggers are looked at in turns.
    pub(super) fn take_answer(&mut self, answer: Answer) {
        self.polls.answered(&answer);
        self.read_pushed();
        let (lessons, asked) = (answer.results.into_iter(), answer.asked);
        self.lessons.extend(lessons.map(|(member, result)| Lesson {
            source: Arc::clone(&answer.poll.source),
            member,
            asked,
            result,
        }));
    }

    /// Looks at up to `count` answers and decides for their functions.
    pub(super) fn learn(&mut self, count: usize) {
        let now = self.clock.now();
        let mut functions = BTreeSet::new();
        let count = count.min(self.lessons.len());
        for lesson in self.lessons.drain(..count) {
            let Lesson {
                source,
                member,
                asked,
                result,
            } = lesson;
            let Some(entry) = self.entries.get_mut(&member.function) else {
                continue;
            };
            // The trigger may have been bound anew since this read began, to another source too, whose
            // handles are its own.
            let is_same = |it: &BoundTrigger| it.handle == member.handle && it.source == source;
            let is_current = entry.bindings.iter().any(|binding| {
                binding.key == member.key && binding.bound.as_ref().is_ok_and(is_same)
            });
            if is_current && let Some(at) = entry.measured_at(asked, now) {
                entry.state.observe_metric(member.key, result, at);
                functions.insert(member.function);
            }
        }
        for function in functions {
            self.refresh(&function, now);
            self.decide(&function, Cause::Poll);
        }
    }

    pub(super) fn refresh(&mut self, function: &FunctionId, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(function) {
            entry.refresh_triggers(now);
        }
    }
}

/// Every trigger of a scaler, with its place and interval.
pub(super) fn triggers_of(function: &Function) -> Vec<(TriggerKey, &TriggerSpec, Duration)> {
    let groups = function.scale.groups.iter().enumerate();
    let metric = groups.filter_map(|(at, group)| match &group.scaling {
        Scaling::Metric(metric) => Some((at, metric)),
        Scaling::Knative(_) | Scaling::Http(_) => None,
    });
    let triggers = metric.flat_map(|(group, metric)| {
        let each = metric.triggers.iter().enumerate();
        each.filter_map(move |(at, trigger)| match &trigger.source {
            TriggerSource::Scaler(source) => {
                let key = TriggerKey { group, trigger: at };
                Some((key, source, metric.polling_interval))
            }
            TriggerSource::Http(_) => None,
        })
    });
    triggers.collect()
}

/// The trigger at one place, with its interval.
pub(super) fn trigger_at(function: &Function, key: TriggerKey) -> Option<(&TriggerSpec, Duration)> {
    let all = triggers_of(function);
    let found = all.into_iter().find(|(at, ..)| *at == key);
    found.map(|(_, source, interval)| (source, interval))
}
