//! One composite input made of all named triggers by a formula, and cpu and memory beside it.

use zeron_core::decision::{Ask, Rule};
use zeron_core::metric::{MetricValue, Unknown, UnknownKind};
use zeron_core::policy::{FallbackBehavior, Formula, MetricScaling};

use super::trigger::{Counted, Input};
use crate::formula::Compiled;
use crate::group::{GroupAsk, Scene};
use crate::http::largest;

pub(super) fn compile(formula: Option<&Formula>) -> Option<Result<Box<Compiled>, String>> {
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

/// One composite input instead of all that the formula joins; it comes last in `group.asks`.
pub(super) fn join_by_formula(
    scaling: &MetricScaling,
    formula: &Formula,
    compiled: &Result<Box<Compiled>, String>,
    inputs: &[Input],
    scene: &Scene<'_>,
    group: &mut GroupAsk,
) -> u32 {
    let current = scene.observation.current;
    let (beside, joined): (Vec<_>, Vec<_>) = inputs.iter().partition(|it| it.is_beside(formula));
    let named = || joined.iter().filter(|input| input.name.is_some());
    let composite = if named().any(|it| it.is_unknown_to_formula(current)) {
        Err("an input is unknown".to_owned())
    } else if let Some(replicas) = replacement(scaling, formula, &joined) {
        Ok((formula.target * f64::from(replicas), Some(replicas)))
    } else {
        let values =
            named().filter_map(|input| Some((input.name.as_deref()?, input.value(current))));
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
    for input in joined {
        group.asks.extend(input.asks.iter().cloned());
    }
    let first = group.asks.len();
    for input in beside {
        group.asks.extend(input.asks.iter().cloned());
    }
    let ask = composite_ask(scaling, formula, composite, scene, group);
    group.asks.push(ask);
    choose(group, first)
}

/// The largest of the asks from `first` on wins; unknown ones hold.
fn choose(group: &mut GroupAsk, first: usize) -> u32 {
    let counted = &group.asks[first..];
    let unknown = counted.iter().filter(|ask| ask.replicas.is_none());
    group.unknown.extend(unknown.map(|ask| ask.metric.clone()));
    let winner = largest(counted).map(|at| first + at);
    group.winner = winner;
    winner.and_then(|at| group.asks[at].replicas).unwrap_or(0)
}

/// The count that a fallback gives instead of the formula: always, or with `scalingModifiers`
/// (where a failed trigger is `nil`) when every trigger failed.
fn replacement(scaling: &MetricScaling, formula: &Formula, inputs: &[&Input]) -> Option<u32> {
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
