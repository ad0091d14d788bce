//! Scaling on event sources, as KEDA means it, in one loop: activation, targets, cooldown, idle,
//! fallback, formula.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::{Ask, Rule};
use zeron_core::id::ObjectRef;
use zeron_core::metric::{MetricReading, MetricValue, Unknown, UnknownKind};
use zeron_core::policy::{
    Behavior, Fallback, FallbackBehavior, Formula, MetricScaling, MetricType, Trigger,
    TriggerSource,
};
use zeron_core::status::TriggerStatus;

use crate::behavior::BehaviorState;
use crate::collector::LoadSample;
use crate::cooldown::Cooldown;
use crate::formula::Compiled;
use crate::group::{GroupAsk, Scene};
use crate::http::{HttpRate, largest, rest, running};
use crate::kpa::as_count;
use crate::state::Start;

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

/// What is known of one trigger.
#[derive(Clone, Debug)]
struct TriggerState {
    spec: Trigger,
    latest: Result<(Vec<MetricReading>, Timestamp), (Unknown, Timestamp)>,
    /// Failed readings in a row.
    failures: u32,
    /// A push said that there is work, and no reading came since.
    is_pushed: bool,
    rate: HttpRate,
}

impl TriggerState {
    fn new(spec: &Trigger, now: Timestamp) -> Self {
        let not_read = Unknown {
            kind: UnknownKind::NotRead,
            message: "not read yet".to_owned(),
        };
        Self {
            spec: spec.clone(),
            latest: Err((not_read, now)),
            failures: 0,
            is_pushed: false,
            rate: HttpRate::new(request_rate(spec)),
        }
    }

    /// One failure counts once, however many decisions follow it.
    fn observe(&mut self, result: Result<Vec<MetricReading>, Unknown>, now: Timestamp) {
        self.is_pushed = false;
        match result.and_then(check) {
            Ok(readings) => {
                self.failures = 0;
                self.latest = Ok((readings, now));
            }
            Err(unknown) => {
                self.failures = self.failures.saturating_add(1);
                let since = match &self.latest {
                    Err((_, since)) => *since,
                    Ok(_) => now,
                };
                self.latest = Err((unknown, since));
            }
        }
    }
}

/// Numbers that no count can be made of are as unknown as no answer.
fn check(readings: Vec<MetricReading>) -> Result<Vec<MetricReading>, Unknown> {
    let problem = readings.iter().find_map(|reading| {
        if !reading.value.is_finite() {
            Some(format!("{} is not a finite number", reading.metric))
        } else if !(reading.target.is_finite() && reading.target > 0.0) {
            Some(format!("target of {} is not above zero", reading.metric))
        } else {
            None
        }
    });
    match problem {
        Some(message) => Err(Unknown {
            kind: UnknownKind::Parse,
            message,
        }),
        None => Ok(readings),
    }
}

fn request_rate(spec: &Trigger) -> Option<zeron_core::policy::RequestRate> {
    match &spec.source {
        TriggerSource::Http(targets) => targets.request_rate,
        TriggerSource::Scaler(_) => None,
    }
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

    /// What people see of the triggers of scalers.
    pub(crate) fn triggers(
        &self,
        scaling: &MetricScaling,
        object: &ObjectRef,
        now: Timestamp,
    ) -> Vec<TriggerStatus> {
        let mut all = Vec::new();
        for (index, trigger) in self.triggers.iter().enumerate() {
            let TriggerSource::Scaler(spec) = &trigger.spec.source else {
                continue;
            };
            let status = |metric: String, value, target, is_active| TriggerStatus {
                source: object.clone(),
                kind: spec.kind.clone(),
                metric,
                value,
                target,
                is_active,
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
                    all.push(status(trigger.name(index), value, 0.0, trigger.is_pushed));
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
                    is_replaced: false,
                },
                TriggerSource::Scaler(_) => trigger.read(index, scaling, scene),
            };
            let is_failed = input.asks.iter().any(|ask| ask.replicas.is_none());
            let fallback = scaling
                .fallback
                .filter(|fallback| is_failed && trigger.failures > fallback.failure_threshold);
            if let Some(fallback) = fallback {
                input.replace(fallback, scene, group);
            }
            inputs.push(input);
        }
        inputs
    }
}

/// One trigger's inputs.
#[derive(Debug)]
struct Input {
    asks: Vec<Ask>,
    name: Option<String>,
    /// A fallback stands in for a value that is unknown.
    is_replaced: bool,
}

impl Input {
    fn replace(&mut self, fallback: Fallback, scene: &Scene<'_>, group: &mut GroupAsk) {
        let replicas = fallback_replicas(fallback, scene.observation.current);
        self.is_replaced = true;
        for ask in self.asks.iter_mut().filter(|ask| ask.replicas.is_none()) {
            ask.replicas = Some(replicas);
            // With zero replicas there is nothing to keep up.
            ask.is_active = replicas > 0;
            group.rules.push(Rule::Fallback {
                metric: ask.metric.clone(),
                replicas,
            });
        }
    }

    /// The trigger's value as a formula sees it.
    fn value(&self) -> Option<f64> {
        let values = self.asks.iter().map(|ask| match ask.value {
            MetricValue::Known { value, .. } => Some(value),
            MetricValue::Unknown { .. } => None,
        });
        values.sum()
    }

    fn is_unknown(&self) -> bool {
        self.asks.iter().any(|ask| ask.replicas.is_none())
    }
}

fn fallback_replicas(fallback: Fallback, current: u32) -> u32 {
    match fallback.behavior {
        FallbackBehavior::Static | FallbackBehavior::ScalingModifiers => fallback.replicas,
        FallbackBehavior::CurrentReplicas => current,
        FallbackBehavior::CurrentReplicasIfHigher => current.max(fallback.replicas),
        FallbackBehavior::CurrentReplicasIfLower => current.min(fallback.replicas),
    }
}

impl TriggerState {
    /// What a source said last, if that is fresh.
    fn read(&self, index: usize, scaling: &MetricScaling, scene: &Scene<'_>) -> Input {
        let asks = match &self.latest {
            Ok((readings, at)) => {
                let interval = scaling.polling_interval;
                let each = readings.iter();
                each.map(|reading| {
                    let value = value_at(reading, *at, interval, scene.now);
                    self.ask(reading, value, &scaling.behavior, scene)
                })
                .collect()
            }
            Err((unknown, since)) => vec![self.unknown(index, unknown, *since, scene)],
        };
        Input {
            asks,
            name: self.spec.name.clone(),
            is_replaced: false,
        }
    }

    fn ask(
        &self,
        reading: &MetricReading,
        value: MetricValue,
        behavior: &Behavior,
        scene: &Scene<'_>,
    ) -> Ask {
        let is_fresh = matches!(value, MetricValue::Known { .. });
        let counted = Counted {
            value: reading.value,
            target: reading.target,
            metric_type: self.spec.metric_type,
        };
        Ask {
            source: scene.source.clone(),
            metric: reading.metric.clone(),
            value,
            target: reading.target,
            replicas: is_fresh.then(|| counted.replicas(behavior, scene)),
            is_active: is_fresh && reading.activity.is_active(),
        }
    }

    /// What to call it before its source said so.
    fn name(&self, index: usize) -> String {
        let kind = match &self.spec.source {
            TriggerSource::Scaler(spec) => spec.kind.as_str(),
            TriggerSource::Http(_) => "http",
        };
        let name = self.spec.name.clone();
        name.unwrap_or_else(|| format!("s{index}-{kind}"))
    }

    fn unknown(&self, index: usize, unknown: &Unknown, since: Timestamp, scene: &Scene<'_>) -> Ask {
        Ask {
            source: scene.source.clone(),
            metric: self.name(index),
            value: MetricValue::Unknown {
                reason: unknown.clone(),
                since,
            },
            target: 0.0,
            replicas: None,
            is_active: false,
        }
    }
}

/// A reading's value while it is fresh.
fn value_at(
    reading: &MetricReading,
    at: Timestamp,
    interval: Duration,
    now: Timestamp,
) -> MetricValue {
    let stale_at = at + freshness(interval);
    if now <= stale_at {
        return MetricValue::Known {
            value: reading.value,
            at,
        };
    }
    MetricValue::Unknown {
        reason: Unknown {
            kind: UnknownKind::Timeout,
            message: "no fresh value".to_owned(),
        },
        since: stale_at,
    }
}

/// A value against its target.
struct Counted {
    value: f64,
    target: f64,
    metric_type: MetricType,
}

impl Counted {
    /// Replicas that the value asks for; the current count within tolerance.
    fn replicas(&self, behavior: &Behavior, scene: &Scene<'_>) -> u32 {
        let current = scene.observation.current;
        let per_replica = match self.metric_type {
            MetricType::AverageValue => self.value / f64::from(current.max(1)),
            MetricType::Value | MetricType::Utilization => self.value,
        };
        let ratio = per_replica / self.target;
        let (up, down) = (behavior.scale_up.tolerance, behavior.scale_down.tolerance);
        if current > 0 && ratio >= 1.0 - down && ratio <= 1.0 + up && (up > 0.0 || down > 0.0) {
            return current;
        }
        let replicas = match self.metric_type {
            MetricType::AverageValue => self.value / self.target,
            MetricType::Value | MetricType::Utilization => {
                ratio * f64::from(scene.observation.ready.max(1))
            }
        };
        as_count(replicas.ceil())
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

fn compile(formula: Option<&Formula>) -> Option<Result<Box<Compiled>, String>> {
    let compiled = Compiled::new(&formula?.expression);
    Some(compiled.map(Box::new).map_err(|error| describe(&error)))
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// One composite input instead of all named ones; it comes last in `group.asks`.
fn join_by_formula(
    scaling: &MetricScaling,
    formula: &Formula,
    compiled: &Result<Box<Compiled>, String>,
    inputs: &[Input],
    scene: &Scene<'_>,
    group: &mut GroupAsk,
) -> u32 {
    let named = || inputs.iter().filter(|input| input.name.is_some());
    let composite = if named().any(Input::is_unknown) {
        Err("an input is unknown".to_owned())
    } else if let Some(replicas) = replacement(scaling, formula, inputs) {
        Ok((formula.target * f64::from(replicas), Some(replicas)))
    } else {
        let values = named().filter_map(|input| Some((input.name.as_deref()?, input.value())));
        let result = match compiled {
            Ok(compiled) => compiled.evaluate(values).map_err(|error| describe(&error)),
            Err(message) => Err(message.clone()),
        };
        if let Err(message) = &result {
            group.rules.push(Rule::FormulaFailed {
                message: message.clone(),
            });
        }
        result.map(|result| (result, None))
    };
    for input in inputs {
        group.asks.extend(input.asks.iter().cloned());
    }
    let ask = composite_ask(scaling, formula, composite, scene, group);
    let replicas = ask.replicas;
    if replicas.is_none() {
        group.unknown.push(ask.metric.clone());
    }
    group.winner = replicas
        .is_some_and(|replicas| replicas > 0)
        .then_some(group.asks.len());
    group.asks.push(ask);
    replicas.unwrap_or(0)
}

/// The count that a fallback gives instead of the formula: always, or with `scalingModifiers`
/// (where a failed trigger is `nil`) when every trigger failed.
fn replacement(scaling: &MetricScaling, formula: &Formula, inputs: &[Input]) -> Option<u32> {
    let fallback = scaling.fallback?;
    let replaced = inputs.iter().filter(|input| input.is_replaced);
    let is_needed = match fallback.behavior {
        FallbackBehavior::ScalingModifiers => {
            inputs.iter().all(|input| input.is_replaced) && !inputs.is_empty()
        }
        FallbackBehavior::Static
        | FallbackBehavior::CurrentReplicas
        | FallbackBehavior::CurrentReplicasIfHigher
        | FallbackBehavior::CurrentReplicasIfLower => replaced.clone().next().is_some(),
    };
    let count = replaced.flat_map(|input| &input.asks).next()?.replicas?;
    (is_needed && formula.target > 0.0).then_some(count)
}

fn composite_ask(
    scaling: &MetricScaling,
    formula: &Formula,
    composite: Result<(f64, Option<u32>), String>,
    scene: &Scene<'_>,
    group: &mut GroupAsk,
) -> Ask {
    let ask = |value, replicas, is_active| Ask {
        source: scene.source.clone(),
        metric: "composite-metric".to_owned(),
        value,
        target: formula.target,
        replicas,
        is_active,
    };
    match composite {
        Ok((result, fallback)) => {
            group.rules.push(Rule::Formula { result });
            let counted = Counted {
                value: result,
                target: formula.target,
                metric_type: formula.metric_type,
            };
            let known = MetricValue::Known {
                value: result,
                at: scene.now,
            };
            let replicas = fallback.unwrap_or_else(|| counted.replicas(&scaling.behavior, scene));
            ask(known, Some(replicas), result > formula.activation_target)
        }
        Err(message) => {
            let reason = Unknown {
                kind: UnknownKind::Missing,
                message,
            };
            let since = scene.now;
            ask(MetricValue::Unknown { reason, since }, None, false)
        }
    }
}
