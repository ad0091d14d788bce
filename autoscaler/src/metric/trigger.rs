//! What is known of one trigger, and what it asks for.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::{Ask, Rule};
use zeron_core::metric::{MetricReading, MetricValue, Unknown, UnknownKind};
use zeron_core::policy::{
    Behavior, Fallback, FallbackBehavior, Formula, MetricScaling, MetricType, RequestRate, Trigger,
    TriggerSource,
};
use zeron_core::status::TriggerHealth;

use super::freshness;
use crate::group::{GroupAsk, Scene};
use crate::http::HttpRate;
use crate::kpa::as_count;

/// What is known of one trigger.
#[derive(Clone, Debug)]
pub(super) struct TriggerState {
    pub(super) spec: Trigger,
    pub(super) latest: Result<(Vec<MetricReading>, Timestamp), (Unknown, Timestamp)>,
    /// Failed readings in a row.
    pub(super) failures: u32,
    /// All failed readings.
    errors: u64,
    /// Metrics of the last good reading, with their targets.
    pub(super) known: Vec<(String, f64)>,
    /// A push said that there is work, and no reading came since.
    pub(super) is_pushed: bool,
    pub(super) rate: HttpRate,
}

impl TriggerState {
    pub(super) fn new(spec: &Trigger, now: Timestamp) -> Self {
        let not_read = Unknown {
            kind: UnknownKind::NotRead,
            message: "not read yet".to_owned(),
        };
        Self {
            spec: spec.clone(),
            latest: Err((not_read, now)),
            failures: 0,
            errors: 0,
            known: Vec::new(),
            is_pushed: false,
            rate: HttpRate::new(request_rate(spec)),
        }
    }

    /// One failure counts once, however many decisions follow it.
    pub(super) fn observe(&mut self, result: Result<Vec<MetricReading>, Unknown>, now: Timestamp) {
        self.is_pushed = false;
        match result.and_then(check) {
            Ok(readings) => {
                self.failures = 0;
                let known = readings.iter().map(|it| (it.metric.clone(), it.target));
                self.known = known.collect();
                self.latest = Ok((readings, now));
            }
            Err(unknown) => {
                self.failures = self.failures.saturating_add(1);
                self.errors += 1;
                let since = match &self.latest {
                    Err((before, since)) if before.kind != UnknownKind::NotRead => *since,
                    Err(_) | Ok(_) => now,
                };
                self.latest = Err((unknown, since));
            }
        }
    }
}

impl TriggerState {
    /// Whether it failed so often that a fallback takes its place, where there is one.
    pub(super) fn is_beyond_threshold(&self, scaling: &MetricScaling) -> bool {
        scaling
            .fallback
            .is_some_and(|it| self.failures > it.failure_threshold)
    }

    pub(super) fn health(&self, scaling: &MetricScaling) -> TriggerHealth {
        let failing_since = match &self.latest {
            Err((_, since)) if self.failures > 0 => Some(*since),
            Ok(_) | Err(_) => None,
        };
        TriggerHealth {
            failures: self.failures,
            errors: self.errors,
            failing_since,
            is_fallback: self.is_beyond_threshold(scaling),
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

pub(super) fn request_rate(spec: &Trigger) -> Option<RequestRate> {
    match &spec.source {
        TriggerSource::Http(targets) => targets.request_rate,
        TriggerSource::Scaler(_) => None,
    }
}

/// One trigger's inputs.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) asks: Vec<Ask>,
    pub(super) name: Option<String>,
    /// What replicas use, cpu or memory: there is nothing to measure where none is.
    pub(super) is_resource: bool,
    /// A fallback stands in for a value that is unknown.
    pub(super) is_replaced: bool,
}

impl Input {
    pub(super) fn replace(&mut self, fallback: Fallback, scene: &Scene<'_>, group: &mut GroupAsk) {
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

    /// Counts beside a formula that does not use it, as in the HorizontalPodAutoscaler that KEDA makes.
    pub(super) fn is_beside(&self, formula: &Formula) -> bool {
        let is_used = self.name.as_ref().is_some_and(|name| formula.uses(name));
        self.is_resource && !is_used
    }

    /// A formula cannot know its value; `current` replicas there are.
    pub(super) fn is_unknown_to_formula(&self, current: u32) -> bool {
        self.is_unknown() && !self.is_of_nobody(current)
    }

    /// Nobody is there to use anything, and that is known.
    fn is_of_nobody(&self, current: u32) -> bool {
        self.is_resource && current == 0
    }

    /// The trigger's value as a formula sees it.
    pub(super) fn value(&self, current: u32) -> Option<f64> {
        if self.is_of_nobody(current) && self.is_unknown() {
            return Some(0.0);
        }
        let values = self.asks.iter().map(|ask| match ask.value {
            MetricValue::Known { value, .. } => Some(value),
            MetricValue::Unknown { .. } => None,
        });
        values.sum()
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.asks.iter().any(|ask| ask.replicas.is_none())
    }
}

fn is_resource(spec: &Trigger) -> bool {
    match &spec.source {
        TriggerSource::Scaler(spec) => matches!(spec.kind.as_str(), "cpu" | "memory"),
        TriggerSource::Http(_) => false,
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
    pub(super) fn read(&self, index: usize, scaling: &MetricScaling, scene: &Scene<'_>) -> Input {
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
            is_resource: is_resource(&self.spec),
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
    pub(super) fn name(&self, index: usize) -> String {
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
pub(super) fn value_at(
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
pub(super) struct Counted {
    pub(super) value: f64,
    pub(super) target: f64,
    pub(super) metric_type: MetricType,
}

impl Counted {
    /// Replicas that the value asks for; the current count within tolerance.
    pub(super) fn replicas(&self, behavior: &Behavior, scene: &Scene<'_>) -> u32 {
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
