//! The value at a gjson path of a tree.

use gjson::Kind;
use zeron_core::metric::{Unknown, UnknownKind};

use super::quantity;
use crate::source::unknown;

/// Longest path; it is read for every answer.
const MAX_LENGTH: usize = 1024;
/// Wildcards of a path: each multiplies the ways in which a key can match.
const MAX_WILDCARDS: usize = 4;

/// A gjson path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(String);

impl Path {
    /// The path, if it is short enough.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} bytes"));
        }
        if text.matches('*').count() > MAX_WILDCARDS {
            return Err(format!("has more than {MAX_WILDCARDS} wildcards"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The number at the path of a well-formed JSON text: a number, or a text that is a quantity such
    /// as `1500m`.
    pub(super) fn number(&self, json: &str) -> Result<f64, Unknown> {
        let found = gjson::get(json, &self.0);
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
        assert!(Path::parse(&"a".repeat(MAX_LENGTH + 1)).is_err());
        assert!(Path::parse("a*b*c*d*e*f").is_err());
    }
}
