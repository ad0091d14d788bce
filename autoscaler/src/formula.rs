//! `advanced.scalingModifiers.formula`: an expr-lang expression over named triggers.

use expr::{Context, Environment, Program, Value};
use zeron_core::formula::{OutOfBounds, check_bounds};

/// Why a formula gives no number.
#[derive(Debug, thiserror::Error)]
pub enum FormulaError {
    /// It is not even parsed.
    #[error("formula {0}")]
    Bounds(OutOfBounds),
    /// It does not parse.
    #[error("formula does not compile")]
    Compile(#[source] Box<expr::Error>),
    /// It failed for these values.
    #[error("formula failed")]
    Evaluate(#[source] Box<expr::Error>),
    /// It gave something that is not a finite number.
    #[error("formula gave {value}, not a finite number")]
    NotANumber {
        /// What it gave.
        value: String,
    },
}

/// A formula that compiled.
#[derive(Clone, Debug)]
pub struct Compiled(Program);

impl Compiled {
    /// Compiles a formula within bounds of length and depth.
    ///
    /// # Errors
    /// When it is too long, too deep, unbounded in cost, or does not parse.
    pub fn new(expression: &str) -> Result<Self, FormulaError> {
        check_bounds(expression).map_err(FormulaError::Bounds)?;
        let program = expr::compile(expression).map_err(|e| FormulaError::Compile(Box::new(e)))?;
        Ok(Self(program))
    }

    /// Evaluates over trigger values; a trigger without a value is `nil`.
    ///
    /// # Errors
    /// When evaluation fails or gives no finite number.
    pub fn evaluate<'a>(
        &self,
        values: impl Iterator<Item = (&'a str, Option<f64>)>,
    ) -> Result<f64, FormulaError> {
        let mut context = Context::default();
        for (name, value) in values {
            context.insert(name, value.map_or(Value::Nil, Value::Float));
        }
        let result = Environment::new()
            .run(&self.0, &context)
            .map_err(|e| FormulaError::Evaluate(Box::new(e)))?;
        let number = match &result {
            Value::Float(float) => *float,
            Value::Integer(integer) => *integer as f64,
            Value::Bool(is_true) => f64::from(u8::from(*is_true)),
            _ => f64::NAN,
        };
        if number.is_finite() {
            Ok(number)
        } else {
            Err(FormulaError::NotANumber {
                value: result.to_string(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use zeron_core::formula::MAX_STEPS;

    use super::*;

    fn evaluate(expression: &str, values: &[(&str, Option<f64>)]) -> Result<f64, FormulaError> {
        Compiled::new(expression)?.evaluate(values.iter().copied())
    }

    #[test]
    fn formulas_of_the_originals_documentation() {
        let values = [("trig_one", Some(4.0)), ("trig_two", Some(10.0))];
        assert_eq!(evaluate("trig_one + trig_two", &values).unwrap(), 14.0);
        assert_eq!(evaluate("(trig_one + trig_two)/2", &values).unwrap(), 7.0);
        assert_eq!(
            evaluate("trig_one > 2 ? trig_two + trig_one : 1", &values).unwrap(),
            14.0
        );
        assert_eq!(
            evaluate("max([trig_one, trig_two])", &values).unwrap(),
            10.0
        );
        assert_eq!(evaluate("int(trig_one)", &values).unwrap(), 4.0);
    }

    #[test]
    fn a_missing_value_is_nil() {
        let values = [("a", None), ("b", Some(3.0))];
        assert_eq!(evaluate("(a ?? 5) + b", &values).unwrap(), 8.0);
        assert!(matches!(
            evaluate("a + b", &values),
            Err(FormulaError::Evaluate(_))
        ));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(matches!(
            evaluate("\"x\"", &[]),
            Err(FormulaError::NotANumber { .. })
        ));
        assert!(evaluate("1.0 / 0", &[]).is_err());
    }

    #[test]
    fn cost_is_bounded_before_parsing() {
        let deep = format!("{}1{}", "(".repeat(1_000), ")".repeat(1_000));
        for expression in [deep.as_str(), "sum(1..1000000000)"] {
            let refused = evaluate(expression, &[]);
            assert!(
                matches!(refused, Err(FormulaError::Bounds(_))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn whatever_is_within_bounds_is_evaluated_on_a_threads_stack() {
        let nested = |open: &str, close: &str, levels: usize| {
            format!("{}1{}", open.repeat(levels), close.repeat(levels))
        };
        let whole = MAX_STEPS;
        assert_eq!(evaluate(&nested("(", ")", whole), &[]).unwrap(), 1.0);
        assert_eq!(evaluate(&nested("abs(", ")", whole), &[]).unwrap(), 1.0);
        assert_eq!(evaluate(&nested("0+(", ")", whole / 2), &[]).unwrap(), 1.0);
        assert_eq!(evaluate(&nested("-(", ")", whole / 2), &[]).unwrap(), 1.0);
        assert_eq!(
            evaluate(&nested("max([", "])", whole / 2), &[]).unwrap(),
            1.0
        );
        let condition = nested("true ? ", " : 0", whole);
        assert_eq!(evaluate(&condition, &[]).unwrap(), 1.0);
        for joined in ["*", "**", " or "] {
            let chain = format!("1{joined}").repeat(whole) + "1";
            // How words mix with numbers is for the language to say; that it answers is the point.
            let answer = evaluate(&chain, &[]);
            assert!(
                !matches!(answer, Err(FormulaError::Bounds(_))),
                "{answer:?}"
            );
        }
        let sum = "1+".repeat(whole) + "1";
        assert_eq!(evaluate(&sum, &[]).unwrap(), whole as f64 + 1.0);
    }
}
