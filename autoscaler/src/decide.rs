//! The one decision that the engine, the simulator, the tests and `zeron why` run.

use zeron_core::Timestamp;
use zeron_core::decision::{Decision, Rule};
use zeron_core::policy::{Behavior, ScalePolicy, Scaling, TriggerGroup};

use crate::behavior::BehaviorState;
use crate::group::{GroupAsk, Scene, earliest};
use crate::join::{bounds, join};
use crate::observation::Observation;
use crate::state::{DecisionState, GroupState};

/// How many replicas a function should have, and why. Pure: no I/O, no clock, no randomness.
///
/// Each group smooths and bounds its own ask; the largest counts. Zero needs every group's consent
/// and nobody waiting or being served; what is unknown holds.
pub fn decide(
    policy: &ScalePolicy,
    observation: &Observation,
    state: &mut DecisionState,
    now: Timestamp,
) -> Decision {
    if let Some(jobs) = &policy.jobs {
        return crate::jobs::decide(policy, jobs, observation, state, now);
    }
    let raise = state.raise.evaluate(policy, observation, now);
    let groups: Vec<GroupAsk> = policy
        .groups
        .iter()
        .zip(&mut state.groups)
        .map(|(group, state)| {
            let scene = scene(policy, group, observation, raise.now, now);
            evaluate(group, state, &scene)
        })
        .collect();
    state.due = groups
        .iter()
        .fold(None, |due, group| earliest(due, group.due));
    state.last_active = groups
        .iter()
        .filter_map(|group| group.last_active)
        .chain(state.last_active)
        .max();
    let mut joined = join(policy, observation, groups, raise);
    state.due = earliest(state.due, joined.held_until);
    if !policy.is_reachable && policy.groups.iter().any(|group| group.min > 0) {
        joined.rules.push(Rule::Unreachable);
    }
    let current = observation.current;
    if joined.desired != current {
        remember(policy, state, current, joined.desired, now);
    }
    Decision {
        function: observation.function.clone(),
        at: now,
        cause: observation.cause,
        current,
        ready: observation.ready,
        desired: joined.desired,
        asks: joined.asks,
        winner: joined.winner,
        rules: joined.rules,
    }
}

fn scene<'a>(
    policy: &ScalePolicy,
    group: &'a TriggerGroup,
    observation: &'a Observation,
    raise: u32,
    now: Timestamp,
) -> Scene<'a> {
    Scene {
        source: &group.source,
        min: if policy.is_reachable { group.min } else { 0 },
        max: group.max.unwrap_or(u32::MAX),
        is_reachable: policy.is_reachable,
        observation,
        raise,
        now,
    }
}

fn evaluate(group: &TriggerGroup, state: &mut GroupState, scene: &Scene<'_>) -> GroupAsk {
    match (&group.scaling, state) {
        (Scaling::Knative(scaling), GroupState::Knative(state)) => state.evaluate(scaling, scene),
        (Scaling::Http(scaling), GroupState::Http(state)) => state.evaluate(scaling, scene),
        (Scaling::Metric(scaling), GroupState::Metric(state)) => state.evaluate(scaling, scene),
        // A policy that was changed without `DecisionState::update`: hold.
        (Scaling::Knative(_) | Scaling::Http(_) | Scaling::Metric(_), _) => GroupAsk {
            replicas: scene.observation.current,
            ..GroupAsk::default()
        },
    }
}

/// Limits of a `behavior` count what really changed, whoever asked for it.
fn remember(
    policy: &ScalePolicy,
    state: &mut DecisionState,
    before: u32,
    after: u32,
    now: Timestamp,
) {
    let each = policy.groups.iter().zip(&mut state.groups);
    let behaviors = each.filter_map(|(group, state)| match (&group.scaling, state) {
        (Scaling::Http(scaling), GroupState::Http(state)) => {
            Some((&scaling.behavior, &mut state.behavior))
        }
        (Scaling::Metric(scaling), GroupState::Metric(state)) => {
            Some((&scaling.behavior, &mut state.behavior))
        }
        _ => None,
    });
    for (behavior, state) in behaviors {
        let (behavior, state): (&Behavior, &mut BehaviorState) = (behavior, state);
        state.changed(behavior, before, after, now);
    }
}

/// The joined bounds of a policy: the largest explicit minimum, the smallest explicit maximum.
pub fn joined_bounds(policy: &ScalePolicy) -> (u32, Option<u32>) {
    let bounds = bounds(policy);
    (bounds.min, bounds.max)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
