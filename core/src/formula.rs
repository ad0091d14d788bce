//! Which `scalingModifiers` formulas are taken at all: admission and engine ask here before they parse one.

/// Longest formula, in bytes.
pub const MAX_LENGTH: usize = 2_048;
/// Most operators and brackets in a formula. Each may nest what is parsed and evaluated by one level, which costs
/// some kilobytes of a thread's stack.
pub const MAX_STEPS: usize = 64;

/// Constructs whose cost has no bound.
const UNBOUNDED: [&str; 2] = ["..", "repeat"];
/// Operators that are words, and what begins a statement.
const WORDS: [&str; 11] = [
    "and",
    "or",
    "not",
    "in",
    "contains",
    "matches",
    "startsWith",
    "endsWith",
    "let",
    "if",
    "else",
];

/// Why a formula is not even parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// Longer than [`MAX_LENGTH`].
    #[error("must have at most {MAX_LENGTH} bytes, not {length}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// More than [`MAX_STEPS`].
    #[error("must have at most {MAX_STEPS} operators and brackets, not {steps}")]
    TooDeep {
        /// How many it has.
        steps: usize,
    },
    /// It uses something whose cost has no bound.
    #[error("must not use `{what}`")]
    Unbounded {
        /// The construct.
        what: &'static str,
    },
}

/// Bounds the cost of parsing and evaluating before either is tried.
///
/// # Errors
/// When the formula is too long, too deep, or unbounded in cost.
pub fn check_bounds(expression: &str) -> Result<(), OutOfBounds> {
    let length = expression.len();
    if length > MAX_LENGTH {
        return Err(OutOfBounds::TooLong { length });
    }
    if let Some(what) = UNBOUNDED.into_iter().find(|it| expression.contains(it)) {
        return Err(OutOfBounds::Unbounded { what });
    }
    let steps = symbols(expression) + words(expression).filter(|it| WORDS.contains(it)).count();
    match steps > MAX_STEPS {
        true => Err(OutOfBounds::TooDeep { steps }),
        false => Ok(()),
    }
}

/// Whether a formula has `name` as a word, as it has its variables.
pub fn uses(expression: &str, name: &str) -> bool {
    !name.is_empty() && words(expression).any(|word| word == name)
}

/// Operators of one or two symbols (`-`, `**`), opening brackets, and members (`a.b`).
fn symbols(expression: &str) -> usize {
    let (mut steps, mut run) = (0, 0_usize);
    let mut bytes = expression.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if b"+-*/%^|&<>=!?;".contains(&byte) {
            run += 1;
            continue;
        }
        steps += run.div_ceil(2);
        run = 0;
        let is_member = byte == b'.' && !bytes.peek().is_some_and(u8::is_ascii_digit);
        steps += usize::from(is_member || b"([{".contains(&byte));
    }
    steps + run.div_ceil(2)
}

fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_within_bounds() {
        for formula in [
            "(queue + 1.5 * float(web)) / 2",
            "queue > 10 && web >= 1 ? max([queue, web]) : (cpu ?? 0) ** 2",
            "let total = a + b; total > 3 and not (a < 1) ? total : 0",
        ] {
            assert_eq!(check_bounds(formula), Ok(()), "{formula}");
        }
        let sum = vec!["queue"; MAX_STEPS + 1].join(" + ");
        assert_eq!(check_bounds(&sum), Ok(()));
    }

    #[test]
    fn operators_and_brackets_are_bounded_together() {
        let steps = MAX_STEPS + 1;
        let too_deep = Err(OutOfBounds::TooDeep { steps });
        for step in [
            "1 + ", "1 ** ", "(", "-(", "a ? 1 : ", "not ", "a.b ", "a[0] ", "1 in ",
        ] {
            let per_step = check_bounds(&step.repeat(MAX_STEPS + 1));
            let doubled = Err(OutOfBounds::TooDeep { steps: 2 * steps });
            assert!(
                per_step == too_deep || per_step == doubled,
                "{step}: {per_step:?}"
            );
        }
        let prefixes = "!".repeat(2 * steps);
        assert_eq!(check_bounds(&prefixes), too_deep);
    }

    #[test]
    fn length_and_cost_are_bounded() {
        let length = MAX_LENGTH + 1;
        let long = "1".repeat(length);
        assert_eq!(check_bounds(&long), Err(OutOfBounds::TooLong { length }));
        let range = OutOfBounds::Unbounded { what: ".." };
        assert_eq!(check_bounds("sum(1..1000000000)"), Err(range));
        let repeat = OutOfBounds::Unbounded { what: "repeat" };
        assert_eq!(check_bounds("len(repeat('a', 1000000))"), Err(repeat));
    }

    #[test]
    fn a_formula_uses_whole_words() {
        let formula = "max([queue_a, web2*2])+float(cpu)";
        for name in ["queue_a", "web2", "cpu"] {
            assert!(uses(formula, name), "{name}");
        }
        for name in ["queue", "web", "", "a", "q-a"] {
            assert!(!uses(formula, name), "{name}");
        }
    }
}
