//! Scaling on our own count of requests, as `http.keda.sh` means it: ceil(sum / target).
//!
//! No target utilization, no panic; a rate is averaged over its own window.

use zeron_core::Timestamp;
use zeron_core::decision::{Ask, Rule};
use zeron_core::metric::MetricValue;
use zeron_core::policy::{Aggregation, Behavior, HttpScaling, HttpTargets, RequestRate};

use crate::behavior::BehaviorState;
use crate::collector::LoadSample;
use crate::cooldown::Cooldown;
use crate::group::{GroupAsk, Scene};
use crate::kpa::as_count;
use crate::observation::Load;
use crate::state::Start;
use crate::window::Window;

/// How often a rate is looked at again while it is not zero.
const RATE_GRID: std::time::Duration = std::time::Duration::from_secs(1);

/// The rate that HTTP targets remember.
#[derive(Clone, Debug)]
pub(crate) struct HttpRate {
    window: Option<Window>,
}

impl HttpRate {
    pub(crate) fn new(rate: Option<RequestRate>) -> Self {
        Self {
            window: rate.map(|rate| Window::new(Aggregation::Linear, rate.window)),
        }
    }

    pub(crate) fn resize(&mut self, rate: Option<RequestRate>, now: Timestamp) {
        match (&mut self.window, rate) {
            (Some(window), Some(rate)) => window.resize(rate.window, now),
            (window, rate) => *window = rate.map(|r| Window::new(Aggregation::Linear, r.window)),
        }
    }

    pub(crate) fn record(&mut self, at: Timestamp, sample: &LoadSample) {
        if let Some(window) = &mut self.window {
            window.record(at, sample.requests);
        }
    }

    /// One input per target; all are unknown together.
    pub(crate) fn asks(&mut self, targets: HttpTargets, scene: &Scene<'_>) -> Vec<Ask> {
        let now = scene.now;
        let load = &scene.observation.load;
        let concurrency = targets
            .concurrency
            .map(|target| ask(scene, "concurrency", load.value(now), target));
        let rate = targets.request_rate.map(|rate| {
            let value = match load {
                Load::Known { .. } | Load::Partial { .. } => MetricValue::Known {
                    value: self.window.as_ref().map_or(0.0, |window| window.rate(now)),
                    at: now,
                },
                Load::Sampled | Load::Unknown { .. } => load.value(now),
            };
            ask(scene, "request-rate", value, rate.target)
        });
        if let Some(window) = &mut self.window {
            window.shrink(now);
        }
        concurrency.into_iter().chain(rate).collect()
    }

    /// When a rate that is not zero has changed by itself.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let is_live = self.window.as_ref().is_some_and(|w| w.rate(now) > 0.0);
        is_live.then_some(now + RATE_GRID)
    }
}

fn ask(scene: &Scene<'_>, metric: &str, value: MetricValue, target: f64) -> Ask {
    let known = match value {
        MetricValue::Known { value, .. } => Some(value),
        MetricValue::Unknown { .. } => None,
    };
    Ask {
        source: scene.source.clone(),
        metric: metric.to_owned(),
        value,
        target,
        replicas: known.map(|value| as_count((value / target).ceil())),
        is_active: known.is_some_and(|value| value > 0.0),
    }
}

/// What the group remembers.
#[derive(Clone, Debug)]
pub(crate) struct HttpState {
    pub(crate) rate: HttpRate,
    pub(crate) cooldown: Cooldown,
    pub(crate) behavior: BehaviorState,
}

impl HttpState {
    pub(crate) fn new(scaling: &HttpScaling, start: Start, now: Timestamp) -> Self {
        Self {
            rate: HttpRate::new(scaling.request_rate),
            cooldown: Cooldown::new(start, now),
            behavior: BehaviorState::found(&scaling.behavior, start.replicas(), now),
        }
    }

    /// Adds a second's load. Requests too short to be seen at a decision keep it up all the same.
    pub(crate) fn record(&mut self, at: Timestamp, sample: &LoadSample) {
        self.rate.record(at, sample);
        if sample.has_requests() {
            self.cooldown.touch(at);
        }
    }

    pub(crate) fn evaluate(&mut self, scaling: &HttpScaling, scene: &Scene<'_>) -> GroupAsk {
        let targets = HttpTargets {
            concurrency: scaling.concurrency,
            request_rate: scaling.request_rate,
        };
        let asks = self.rate.asks(targets, scene);
        // A backlog keeps a function up even where only the rate has a target.
        let is_active = scene.raise > 0 || asks.iter().any(|ask| ask.is_active);
        if is_active {
            self.cooldown.touch(scene.now);
        }
        let is_known = scene.observation.load.is_known();
        let unknown = asks
            .iter()
            .filter(|ask| !is_known || ask.replicas.is_none());
        let mut group = GroupAsk {
            unknown: unknown.map(|ask| ask.metric.clone()).collect(),
            last_active: self.cooldown.last_active(),
            due: self.rate.due(scene.now),
            winner: largest(&asks),
            asks,
            ..GroupAsk::default()
        };
        let wanted = group
            .winner
            .and_then(|winner| group.asks[winner].replicas)
            .unwrap_or(0);
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
            rest(&mut group, zero, None, scene);
        }
        group
    }
}

/// The input that asks for most, if any asks for something.
pub(crate) fn largest(asks: &[Ask]) -> Option<usize> {
    let wanting = asks.iter().enumerate().filter_map(|(index, ask)| {
        let replicas = ask.replicas.filter(|&replicas| replicas > 0)?;
        // The first of equals wins.
        Some((replicas, std::cmp::Reverse(index)))
    });
    wanting.max().map(|(_, index)| index.0)
}

/// The count between one and the maximum: bounds, stabilization, limits.
pub(crate) fn running(
    group: &mut GroupAsk,
    state: &mut BehaviorState,
    behavior: &Behavior,
    wanted: u32,
    scene: &Scene<'_>,
) {
    let floor = scene.min.max(1).min(scene.max);
    let bounded = wanted.clamp(floor, scene.max);
    if wanted < scene.min {
        group.rules.push(Rule::Min {
            min: scene.min,
            from: wanted,
        });
    } else if wanted > scene.max {
        group.rules.push(Rule::Max {
            max: scene.max,
            from: wanted,
        });
    }
    let base = scene.observation.current.clamp(floor, scene.max);
    let stable = state.bound(behavior, base, bounded, scene.now);
    group.replicas = stable.replicas.clamp(floor, scene.max);
    group.rules.extend(stable.rule);
    if let Some(due) = stable.due {
        group.look_again(due);
    }
}

/// What an inactive group does: nothing while the cooldown lasts, then straight to `idle`, or to
/// zero where no minimum forbids it.
pub(crate) fn rest(
    group: &mut GroupAsk,
    (wait, until): (zeron_core::decision::ZeroWait, Timestamp),
    idle: Option<u32>,
    scene: &Scene<'_>,
) {
    let current = scene.observation.current;
    if idle.is_none() && scene.min > 0 {
        return;
    }
    let lowest = idle.unwrap_or(0);
    let idle_rule = idle.map(|replicas| Rule::Idle { replicas });
    if current <= lowest {
        // Nothing to take away, and an inactive group starts nothing.
        *group = GroupAsk {
            replicas: lowest,
            rules: idle_rule.into_iter().collect(),
            winner: None,
            due: None,
            ..std::mem::take(group)
        };
    } else if scene.now < until {
        group.rules.push(Rule::ZeroNotBefore { wait, until });
        group.look_again(until);
    } else {
        group.replicas = lowest;
        group.rules = idle_rule.into_iter().collect();
        group.winner = None;
        group.due = None;
    }
}
