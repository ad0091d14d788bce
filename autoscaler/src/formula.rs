//! `advanced.scalingModifiers.formula`: an expr-lang expression over named triggers.

use expr::{Context, Environment, Program, Value};

/// Longest formula, in bytes.
pub const MAX_LENGTH: usize = 2_048;
/// Deepest nesting, and most prefix operators or conditions in a formula.
pub const MAX_DEPTH: usize = 64;

/// Why a formula gives no number.
#[derive(Debug, thiserror::Error)]
pub enum FormulaError {
    /// Longer than [`MAX_LENGTH`].
    #[error("formula has {length} bytes, at most {MAX_LENGTH} are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("formula is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// It uses something whose cost has no bound.
    #[error("formula may not use `{what}`")]
    Unbounded {
        /// The construct.
        what: &'static str,
    },
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
        check(expression)?;
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

/// Bounds the cost of parsing and evaluating before either is tried.
fn check(expression: &str) -> Result<(), FormulaError> {
    if expression.len() > MAX_LENGTH {
        return Err(FormulaError::TooLong {
            length: expression.len(),
        });
    }
    for what in ["..", "repeat"] {
        if expression.contains(what) {
            return Err(FormulaError::Unbounded { what });
        }
    }
    let (mut depth, mut deepest, mut prefixes) = (0_usize, 0, 0);
    let mut is_operand_before = false;
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' => prefixes += 1,
            b'!' | b'-' | b'+' if !is_operand_before => prefixes += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
        if !byte.is_ascii_whitespace() {
            is_operand_before = byte.is_ascii_alphanumeric() || b")]}_\"'".contains(&byte);
        }
    }
    if deepest > MAX_DEPTH || prefixes > MAX_DEPTH || expression.matches("not ").count() > MAX_DEPTH
    {
        return Err(FormulaError::TooDeep);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        assert!(matches!(evaluate(&deep, &[]), Err(FormulaError::TooDeep)));
        let prefixes = format!("{}1", "-".repeat(1_000));
        assert!(matches!(
            evaluate(&prefixes, &[]),
            Err(FormulaError::TooDeep)
        ));
        let long = "1 + ".repeat(1_000);
        assert!(matches!(
            evaluate(&long, &[]),
            Err(FormulaError::TooLong { .. })
        ));
        assert!(matches!(
            evaluate("sum(1..1000000000)", &[]),
            Err(FormulaError::Unbounded { .. })
        ));
    }

    #[test]
    fn the_deepest_allowed_formula_evaluates() {
        let deep = format!("{}1{}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
        assert_eq!(evaluate(&deep, &[]).unwrap(), 1.0);
    }
}
