//! One composite input made of all named triggers by a formula.

use zeron_core::decision::{Ask, Rule};
use zeron_core::metric::{MetricValue, Unknown, UnknownKind};
use zeron_core::policy::{FallbackBehavior, Formula, MetricScaling};

use super::trigger::{Counted, Input};
use crate::formula::Compiled;
use crate::group::{GroupAsk, Scene};

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

/// One composite input instead of all named ones; it comes last in `group.asks`.
pub(super) fn join_by_formula(
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
