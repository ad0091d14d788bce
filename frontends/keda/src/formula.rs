//! `advanced.scalingModifiers`: the formula is compiled and tried once before it is accepted.

use expr::{Context, Value};
use zeron_core::formula::{OutOfBounds, check_bounds};
use zeron_core::policy::{Formula, MetricType};
use zeron_manifest::{Fields, Node};

/// Why a formula is refused.
#[derive(Debug, thiserror::Error)]
pub enum FormulaError {
    /// It is not even parsed.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    /// It does not parse.
    #[error("does not compile: {0}")]
    Compile(Box<expr::Error>),
    /// It fails when every trigger is 1.
    #[error("fails when every named trigger is 1: {0}")]
    Evaluate(Box<expr::Error>),
    /// It gives something else than a number.
    #[error("must give a number; it gives {0} when every named trigger is 1")]
    NotANumber(String),
}

/// Reads `scalingModifiers`. `names` are those of the triggers.
pub(crate) fn read(fields: &Fields<'_>, names: &[&str]) -> Option<Formula> {
    let formula = fields.get("formula");
    let target = fields
        .get("target")
        .and_then(|node| number(&node, |x| x > 0.0, "must be a number above 0, in quotes"));
    let activation = fields.get("activationTarget");
    let activation =
        activation.and_then(|node| number(&node, |_| true, "must be a number, in quotes"));
    let types = [
        ("AverageValue", MetricType::AverageValue),
        ("Value", MetricType::Value),
    ];
    let metric_type = fields.choice("metricType", &types);
    match (&formula, fields.has("target")) {
        (Some(_), false) => fields.error("target", "is missing: formula and target go together"),
        (None, true) => fields.error("formula", "is missing: formula and target go together"),
        (Some(_), true) | (None, false) => {}
    }
    let formula = formula?;
    let expression = formula.string()?;
    if let Err(error) = check(expression, names) {
        formula.error(format!("{expression:?}: {error}"));
        return None;
    }
    Some(Formula {
        expression: expression.to_owned(),
        target: target?,
        activation_target: activation.unwrap_or(0.0),
        metric_type: metric_type.unwrap_or(MetricType::AverageValue),
    })
}

/// A number that is written as a string, as KEDA has it.
fn number(node: &Node<'_>, is_allowed: impl Fn(f64) -> bool, allowed: &str) -> Option<f64> {
    let text = node.string()?;
    let found = text
        .trim()
        .parse()
        .ok()
        .filter(|x: &f64| x.is_finite() && is_allowed(*x));
    if found.is_none() {
        node.refuse(allowed);
    }
    found
}

/// Compiles a formula and evaluates it once, every trigger being 1.
fn check(expression: &str, names: &[&str]) -> Result<(), FormulaError> {
    check_bounds(expression)?;
    let program = expr::compile(expression).map_err(|e| FormulaError::Compile(Box::new(e)))?;
    let mut context = Context::default();
    for name in names {
        context.insert(*name, Value::Float(1.0));
    }
    match expr::run(&program, &context).map_err(|e| FormulaError::Evaluate(Box::new(e)))? {
        Value::Integer(_) | Value::Float(_) | Value::Bool(_) => Ok(()),
        other => Err(FormulaError::NotANumber(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use zeron_core::formula::MAX_STEPS;

    use super::*;

    #[test]
    fn what_the_engine_takes_is_admitted() {
        let sum = vec!["queue"; MAX_STEPS + 1].join(" - ");
        assert!(check(&sum, &["queue"]).is_ok());
        let deep = format!("{}queue{}", "(".repeat(65), ")".repeat(65));
        assert!(matches!(
            check(&deep, &["queue"]),
            Err(FormulaError::Bounds(OutOfBounds::TooDeep { .. }))
        ));
    }
}
