//! The value at a gjson path of a tree.

use gjson::Kind;
use zeron_core::metric::{Unknown, UnknownKind};

use super::quantity;
use crate::source::unknown;

/// Longest path; it is read for every answer.
const MAX_LENGTH: usize = 1024;
/// Wildcards of a path.
const MAX_WILDCARDS: u32 = 4;
/// Steps that matching may take: about a second.
const MAX_STEPS: f64 = 2e8;

/// A gjson path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    text: String,
    wildcards: u32,
}

impl Path {
    /// The path, if reading it can cost neither much time nor memory, whatever the answer is: both may be
    /// made up by the same tenant.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} bytes"));
        }
        let wildcards = text.bytes().filter(|it| *it == b'*').count();
        let wildcards = u32::try_from(wildcards).unwrap_or(u32::MAX);
        if wildcards > MAX_WILDCARDS {
            return Err(format!("has more than {MAX_WILDCARDS} wildcards"));
        }
        // `[@this,@this]|[@this,@this]|...` doubles the answer with each step.
        if has_multipath(text) {
            let message =
                "has a multipath, which leads to no number: escape [ and { as \\[ and \\{";
            return Err(message.to_owned());
        }
        // Its indentation multiplies the answer.
        if text.contains("@pretty") {
            return Err("has @pretty, which changes no number".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            wildcards,
        })
    }

    /// The number at the path of a well-formed JSON text: a number, or a text that is a quantity such
    /// as `1500m`.
    pub(super) fn number(&self, json: &str) -> Result<f64, Unknown> {
        if steps(json, self.wildcards) > MAX_STEPS {
            return Err(unknown(
                UnknownKind::Parse,
                "valueLocation has too many wildcards for texts as long as in the answer",
            ));
        }
        let found = gjson::get(json, &self.text);
        if !found.exists() {
            let message = "the answer has nothing at valueLocation";
            return Err(unknown(UnknownKind::Missing, message));
        }
        let number = match found.kind() {
            Kind::Number => found.json().trim().parse().ok(),
            Kind::String => quantity::parse(found.str()),
            Kind::Null => return Err(no_number("null")),
            Kind::True | Kind::False => return Err(no_number("true or false")),
            Kind::Array => return Err(no_number("an array")),
            Kind::Object => return Err(no_number("an object")),
        };
        number.ok_or_else(|| no_number("a text that is no quantity"))
    }
}

/// Whether a path has `[` or `{` that is not escaped. Quotes are no reason to let one pass: where they count
/// for the path language is its own affair.
fn has_multipath(path: &str) -> bool {
    let mut is_escaped = false;
    path.bytes().any(|byte| {
        let was_escaped = std::mem::take(&mut is_escaped);
        is_escaped = byte == b'\\' && !was_escaped;
        matches!(byte, b'[' | b'{') && !was_escaped
    })
}

/// An upper bound of the steps that so many wildcards take on the texts of a JSON document: of `n`
/// characters, every way to share them among the wildcards.
fn steps(json: &str, wildcards: u32) -> f64 {
    if wildcards < 2 {
        return 0.0;
    }
    let ways = f64::from((1..=wildcards).product::<u32>());
    let of = |length: usize| (length as f64).powi(wildcards.cast_signed()) / ways;
    let (mut length, mut is_text, mut is_escaped, mut sum) = (0, false, false, 0.0);
    for byte in json.bytes() {
        length += 1;
        let was_escaped = std::mem::take(&mut is_escaped);
        match byte {
            _ if was_escaped => {}
            b'\\' => is_escaped = is_text,
            b'"' => {
                if is_text {
                    sum += of(length);
                }
                (is_text, length) = (!is_text, 0);
            }
            _ => {}
        }
    }
    sum
}

fn no_number(what: &str) -> Unknown {
    let message = format!("the answer has no number at valueLocation, but {what}");
    unknown(UnknownKind::Parse, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn number(tree: &Value, path: &str) -> Result<f64, UnknownKind> {
        Path::parse(path)
            .unwrap()
            .number(&tree.to_string())
            .map_err(|error| error.kind)
    }

    #[test]
    fn paths_are_those_of_gjson() {
        let tree = json!({
            "count": 7,
            "queues": [{"name": "a", "size": 1}, {"name": "b", "size": 2.5}],
            "fav.movie": "3",
        });
        assert_eq!(number(&tree, "count"), Ok(7.0));
        assert_eq!(number(&tree, "queues.1.size"), Ok(2.5));
        assert_eq!(number(&tree, "queues.#"), Ok(2.0));
        assert_eq!(number(&tree, r#"queues.#(name=="b").size"#), Ok(2.5));
        assert_eq!(number(&tree, r"fav\.movie"), Ok(3.0));
        assert_eq!(number(&tree, "cou*"), Ok(7.0));
    }

    #[test]
    fn of_several_keys_that_match_the_first_in_the_text_counts() {
        let first = Path::parse("b*").unwrap().number(r#"{"bz": 1, "ba": 2}"#);
        assert_eq!(first, Ok(1.0));
    }

    #[test]
    fn texts_are_quantities() {
        let tree = json!({"a": "1500m", "b": "2Ki", "c": "many"});
        assert_eq!(number(&tree, "a"), Ok(1.5));
        assert_eq!(number(&tree, "b"), Ok(2048.0));
        assert_eq!(number(&tree, "c"), Err(UnknownKind::Parse));
    }

    #[test]
    fn nothing_is_missing_and_what_is_no_number_cannot_be_understood() {
        let tree = json!({"a": {"b": true, "c": null, "d": [1]}});
        assert_eq!(number(&tree, "a.x"), Err(UnknownKind::Missing));
        for path in ["a", "a.b", "a.c", "a.d"] {
            assert_eq!(number(&tree, path), Err(UnknownKind::Parse), "{path}");
        }
        assert_eq!(number(&json!([1, 2]), "#"), Ok(2.0));
        assert_eq!(number(&json!(7), "a"), Err(UnknownKind::Missing));
    }

    #[test]
    fn paths_that_cost_too_much_are_refused() {
        for path in [
            "a".repeat(MAX_LENGTH + 1).as_str(),
            "a*b*c*d*e*f",
            "[@this,@this]|[@this,@this]|#",
            "a.#([@this,@this]).b",
            "{a,b}|@values|0",
            "a\".[@this,@this]|#",
            "a.#(b==\"[x]\").c",
            r"a\\[0]",
            "@pretty|a",
        ] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
        for path in [r"a\[0\]", r#"a.#(b=="x").c"#, "@reverse|0", "*ueue*"] {
            assert!(Path::parse(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn wildcards_are_not_matched_against_texts_that_take_too_long() {
        let tree = json!({"k".repeat(1000): 1, "other": 2});
        assert_eq!(number(&tree, "k*k*k*k*x"), Err(UnknownKind::Parse));
        assert_eq!(number(&tree, "oth*"), Ok(2.0));
        let many: serde_json::Map<_, _> = (0..10_000)
            .map(|it| (format!("queue-number-{it}"), json!(it)))
            .collect();
        assert!(number(&Value::Object(many), "*mber*42*").is_ok());
    }
}
