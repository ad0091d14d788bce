//! The raise-only ask: replicas that the requests of this very moment need.
//!
//! It acts at once, apart from the KPA's grid and windows, and never lowers. What it asked for is
//! kept for a short while, so that replicas of a burst are not taken away within the same second.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::Ask;
use zeron_core::policy::{KnativeMetric, ScalePolicy, Scaling, TriggerGroup, TriggerSource};

use crate::observation::Observation;
use crate::sliding::{Extreme, Sliding};

/// How long a raise is kept where no group says otherwise: Knative's default panic window.
const HOLD: Duration = Duration::from_secs(6);

/// Raises of the last while.
#[derive(Clone, Debug)]
pub(crate) struct RaiseState {
    recent: Sliding,
}

/// What the requests of this moment ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raise {
    /// Replicas needed now; zero = none.
    pub(crate) now: u32,
    /// The largest of the last while, and when it leaves.
    pub(crate) held: Option<(u32, Timestamp)>,
    /// Raised to this activation scale.
    pub(crate) activation: Option<u32>,
    /// As an input of the decision.
    pub(crate) ask: Option<Ask>,
}

impl RaiseState {
    pub(crate) fn new() -> Self {
        Self {
            recent: Sliding::new(Extreme::Largest),
        }
    }

    pub(crate) fn evaluate(
        &mut self,
        policy: &ScalePolicy,
        observation: &Observation,
        now: Timestamp,
    ) -> Raise {
        let Some(group) = policy.groups.iter().find(|group| counts_requests(group)) else {
            return Raise::default();
        };
        let Some((in_flight, queued)) = observation.load.counted() else {
            return Raise::default();
        };
        let load = in_flight.saturating_add(queued);
        let capacity = capacity(policy, observation, queued);
        let needed = match capacity {
            Some(capacity) => crate::kpa::as_count((f64::from(load) / capacity).ceil()),
            None => u32::from(load > 0),
        };
        let activation = activation_scale(policy);
        let is_activated = needed > 0 && activation > needed;
        let asked = if is_activated { activation } else { needed };
        let hold = hold(policy);
        self.recent.record(now, asked, hold);
        Raise {
            now: asked,
            held: self.recent.extreme(hold),
            activation: is_activated.then_some(activation),
            ask: (load > 0).then(|| Ask {
                source: group.source.clone(),
                metric: "backlog".to_owned(),
                value: observation.load.value(now),
                target: capacity.unwrap_or_else(|| f64::from(load)),
                replicas: Some(asked),
                is_active: true,
            }),
        }
    }
}

/// Whether a group scales on our own count of requests.
pub(crate) fn counts_requests(group: &TriggerGroup) -> bool {
    match &group.scaling {
        Scaling::Knative(_) | Scaling::Http(_) => true,
        Scaling::Metric(metric) => metric
            .triggers
            .iter()
            .any(|trigger| matches!(trigger.source, TriggerSource::Http(_))),
    }
}

/// Requests that one replica takes: the hard limit; without one, what Knative holds possible, and
/// only while requests wait. `None`: one replica takes all.
fn capacity(policy: &ScalePolicy, observation: &Observation, queued: u32) -> Option<f64> {
    if let Some(limit) = observation.concurrency_limit {
        return Some(f64::from(limit.get()));
    }
    let total = policy.groups.iter().find_map(|group| match &group.scaling {
        Scaling::Knative(knative) if knative.metric == KnativeMetric::Concurrency => {
            Some(knative.total)
        }
        Scaling::Knative(_) | Scaling::Http(_) | Scaling::Metric(_) => None,
    });
    total.filter(|&total| queued > 0 && total > 0.0)
}

/// The largest `activation-scale` of a function's Knative groups; 0 = unset.
fn activation_scale(policy: &ScalePolicy) -> u32 {
    let each = policy.groups.iter().map(|group| match &group.scaling {
        Scaling::Knative(knative) => knative.activation_scale,
        Scaling::Http(_) | Scaling::Metric(_) => 0,
    });
    each.max().unwrap_or(0)
}

fn hold(policy: &ScalePolicy) -> Duration {
    let panic_window = policy.groups.iter().find_map(|group| match &group.scaling {
        Scaling::Knative(knative) => Some(knative.panic_window),
        Scaling::Http(_) | Scaling::Metric(_) => None,
    });
    panic_window.unwrap_or(HOLD)
}
