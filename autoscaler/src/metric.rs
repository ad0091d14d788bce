//! Scaling on event sources, as KEDA means it, in one loop: activation, targets, cooldown, idle,
//! fallback, formula.

mod composite;
mod trigger;

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::Ask;
use zeron_core::id::ObjectRef;
use zeron_core::metric::{MetricReading, MetricValue, Unknown};
use zeron_core::policy::{MetricScaling, TriggerSource};
use zeron_core::status::TriggerStatus;

use crate::behavior::BehaviorState;
use crate::collector::LoadSample;
use crate::cooldown::Cooldown;
use crate::formula::Compiled;
use crate::group::{GroupAsk, Scene};
use crate::http::{largest, rest, running};
use crate::state::Start;
use composite::{compile, join_by_formula};
use trigger::{Input, TriggerState, request_rate, value_at};

/// How long one reading of a source may take: half the interval, within these bounds.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a source polled every `interval` may take to answer.
pub fn read_timeout(interval: Duration) -> Duration {
    (interval / 2).clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
}

/// How old a value may be to count: two polls and one timeout.
pub fn freshness(interval: Duration) -> Duration {
    interval * 2 + read_timeout(interval)
}

/// What the group remembers.
#[derive(Clone, Debug)]
pub(crate) struct MetricState {
    triggers: Vec<TriggerState>,
    pub(crate) cooldown: Cooldown,
    pub(crate) behavior: BehaviorState,
    formula: Option<Result<Box<Compiled>, String>>,
}

impl MetricState {
    pub(crate) fn new(scaling: &MetricScaling, start: Start, now: Timestamp) -> Self {
        let triggers = scaling.triggers.iter();
        Self {
            triggers: triggers.map(|spec| TriggerState::new(spec, now)).collect(),
            cooldown: Cooldown::new(start, now),
            behavior: BehaviorState::found(&scaling.behavior, start.replicas(), now),
            formula: compile(scaling.formula.as_ref()),
        }
    }

    /// New settings: what is known of a trigger that did not change stays.
    pub(crate) fn update(&mut self, scaling: &MetricScaling, now: Timestamp) {
        let mut old = std::mem::take(&mut self.triggers);
        let triggers = scaling.triggers.iter().map(|spec| {
            let same = old.iter().position(|state| state.spec == *spec);
            same.map_or_else(|| TriggerState::new(spec, now), |at| old.swap_remove(at))
        });
        self.triggers = triggers.collect();
        for trigger in &mut self.triggers {
            trigger.rate.resize(request_rate(&trigger.spec), now);
        }
        self.formula = compile(scaling.formula.as_ref());
    }

    pub(crate) fn record(&mut self, at: Timestamp, sample: &LoadSample) {
        for trigger in &mut self.triggers {
            trigger.rate.record(at, sample);
            let is_http = matches!(trigger.spec.source, TriggerSource::Http(_));
            if is_http && sample.has_requests() {
                self.cooldown.touch(at);
            }
        }
    }

    /// Until now there may have been requests that nobody counted.
    pub(crate) fn doubt(&mut self, now: Timestamp) {
        let mut triggers = self.triggers.iter();
        if triggers.any(|it| matches!(it.spec.source, TriggerSource::Http(_))) {
            self.cooldown.doubt(now);
        }
    }

    pub(crate) fn observe(
        &mut self,
        trigger: usize,
        result: Result<Vec<MetricReading>, Unknown>,
        now: Timestamp,
    ) {
        if let Some(trigger) = self.triggers.get_mut(trigger) {
            trigger.observe(result, now);
        }
    }

    pub(crate) fn push(&mut self, trigger: usize) {
        if let Some(trigger) = self.triggers.get_mut(trigger) {
            trigger.is_pushed = true;
        }
    }

    pub(crate) fn evaluate(&mut self, scaling: &MetricScaling, scene: &Scene<'_>) -> GroupAsk {
        let mut group = GroupAsk::default();
        let inputs = self.inputs(scaling, scene, &mut group);
        let wanted = match (&scaling.formula, &self.formula) {
            (Some(formula), Some(compiled)) => {
                join_by_formula(scaling, formula, compiled, &inputs, scene, &mut group)
            }
            _ => join_by_maximum(inputs, &mut group),
        };
        let is_active = scaling.is_forced_active
            || self.triggers.iter().any(|trigger| trigger.is_pushed)
            || is_active(scaling, &group);
        if is_active {
            self.cooldown.touch(scene.now);
        }
        group.last_active = self.cooldown.last_active();
        running(
            &mut group,
            &mut self.behavior,
            &scaling.behavior,
            wanted,
            scene,
        );
        if !is_active {
            let zero = self
                .cooldown
                .zero_from(scaling.cooldown, scaling.initial_cooldown);
            rest(&mut group, zero, scaling.idle, scene);
        }
        for trigger in &self.triggers {
            if let Some(due) = trigger.rate.due(scene.now) {
                group.look_again(due);
            }
        }
        group
    }

    /// What every trigger of a scaler says now, in their order.
    pub(crate) fn read(&self, scaling: &MetricScaling, scene: &Scene<'_>) -> Vec<Vec<Ask>> {
        let each = self.triggers.iter().enumerate();
        each.map(|(index, trigger)| trigger.read(index, scaling, scene).asks)
            .collect()
    }

    /// What people see of the triggers of scalers.
    pub(crate) fn triggers(
        &self,
        scaling: &MetricScaling,
        object: &ObjectRef,
        now: Timestamp,
    ) -> Vec<TriggerStatus> {
        let mut all = Vec::new();
        let fallback_runs = scaling.fallback.is_some_and(|it| it.replicas > 0);
        for (index, trigger) in self.triggers.iter().enumerate() {
            let TriggerSource::Scaler(spec) = &trigger.spec.source else {
                continue;
            };
            let health = trigger.health(scaling);
            let status = |metric: String, value, target, is_active| TriggerStatus {
                source: object.clone(),
                index: spec.index,
                kind: spec.kind.clone(),
                metric,
                value,
                target,
                is_active,
                health,
                push_trouble: None,
            };
            match &trigger.latest {
                Ok((readings, at)) => all.extend(readings.iter().map(|reading| {
                    let value = value_at(reading, *at, scaling.polling_interval, now);
                    let is_active = trigger.is_pushed || reading.activity.is_active();
                    status(reading.metric.clone(), value, reading.target, is_active)
                })),
                Err((reason, since)) => {
                    let value = MetricValue::Unknown {
                        reason: reason.clone(),
                        since: *since,
                    };
                    let is_active = trigger.is_pushed || health.is_fallback && fallback_runs;
                    if trigger.known.is_empty() {
                        all.push(status(trigger.name(index), value.clone(), 0.0, is_active));
                    }
                    // It goes on under the names that its source gave it.
                    all.extend(trigger.known.iter().map(|(metric, target)| {
                        status(metric.clone(), value.clone(), *target, is_active)
                    }));
                }
            }
        }
        all
    }

    /// Every trigger's inputs, with fallbacks in place of what failed too often.
    fn inputs(
        &mut self,
        scaling: &MetricScaling,
        scene: &Scene<'_>,
        group: &mut GroupAsk,
    ) -> Vec<Input> {
        let mut inputs = Vec::with_capacity(self.triggers.len());
        for (index, trigger) in self.triggers.iter_mut().enumerate() {
            let mut input = match trigger.spec.source {
                TriggerSource::Http(targets) => Input {
                    asks: trigger.rate.asks(targets, scene),
                    name: trigger.spec.name.clone(),
                    is_resource: false,
                    is_replaced: false,
                },
                TriggerSource::Scaler(_) => trigger.read(index, scaling, scene),
            };
            let is_failed = input.asks.iter().any(|ask| ask.replicas.is_none());
            let fallback = scaling.fallback.filter(|_| {
                is_failed && !input.is_resource && trigger.is_beyond_threshold(scaling)
            });
            // A time in which not everybody counts is unknown, however much is counted.
            if matches!(trigger.spec.source, TriggerSource::Http(_))
                && !scene.observation.load.is_known()
                && !is_failed
            {
                group
                    .unknown
                    .extend(input.asks.iter().map(|ask| ask.metric.clone()));
            }
            if let Some(fallback) = fallback {
                input.replace(fallback, scene, group);
            }
            inputs.push(input);
        }
        inputs
    }
}

/// The largest input counts; unknown ones hold.
fn join_by_maximum(inputs: Vec<Input>, group: &mut GroupAsk) -> u32 {
    for input in inputs {
        let unknown = input.asks.iter().filter(|ask| ask.replicas.is_none());
        group.unknown.extend(unknown.map(|ask| ask.metric.clone()));
        group.asks.extend(input.asks);
    }
    group.winner = largest(&group.asks);
    let winner = group.winner.and_then(|winner| group.asks[winner].replicas);
    winner.unwrap_or(0)
}

/// Whether any input has work; with a formula, whether its result does.
fn is_active(scaling: &MetricScaling, group: &GroupAsk) -> bool {
    if scaling.formula.is_some() {
        group
            .asks
            .last()
            .is_some_and(|composite| composite.is_active)
    } else {
        group.asks.iter().any(|ask| ask.is_active)
    }
}
