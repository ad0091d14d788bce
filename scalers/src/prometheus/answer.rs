//! The answer of `/api/v1/query`: one number, nothing, or what is wrong.

use serde::Deserialize;
use serde_json::Value;
use zeron_core::metric::{Unknown, UnknownKind};

use crate::source::unknown;

/// Characters of a server's own message that are repeated.
const MAX_WORDS: usize = 200;

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    /// What VictoriaMetrics says where a node of its cluster did not answer.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct Problem {
    error: String,
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// A number that is not negative.
    Number(f64),
    /// No element, or a number that is not finite, in words.
    Null(String),
}

impl Outcome {
    /// The number; where there is none, zero if `is_null_zero`.
    pub(super) fn value(&self, is_null_zero: bool) -> Result<f64, Unknown> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Null(_) if is_null_zero => Ok(0.0),
            Self::Null(what) => Err(parse(what)),
        }
    }
}

/// Reads the answer to a query that the server could run.
pub(super) fn read(body: &[u8]) -> Result<Outcome, Unknown> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| parse("no JSON of Prometheus"))?;
    if answer.is_partial {
        let message = "the server could not read everything";
        return Err(unknown(UnknownKind::Transport, message));
    }
    if let Some(words) = answer.warnings.iter().flatten().find(|it| is_partial(it)) {
        let words: String = words.chars().take(MAX_WORDS).collect();
        let message = format!("the server could not read everything: {words}");
        return Err(unknown(UnknownKind::Transport, message));
    }
    let data = answer.data.ok_or_else(|| parse("no data"))?;
    let sample = match (data.result_type.as_str(), &data.result) {
        ("scalar", sample) => sample,
        ("vector", Value::Array(elements)) => match elements.as_slice() {
            [] => return Ok(Outcome::Null("no element".to_owned())),
            [element] => element.get("value").unwrap_or(&Value::Null),
            more => {
                let message = format!("{} elements, and the query must give one", more.len());
                return Err(parse(&message));
            }
        },
        (other, _) => {
            let other: String = other.chars().take(MAX_WORDS).collect();
            return Err(parse(&format!("a result of type {other:?}")));
        }
    };
    let text = sample.get(1).and_then(Value::as_str);
    let number: Option<f64> = text.and_then(|text| text.parse().ok());
    match number.ok_or_else(|| parse("no number"))? {
        number if !number.is_finite() => Ok(Outcome::Null(number.to_string())),
        number if number < 0.0 => Err(parse(&format!("{number}, which is negative"))),
        number => Ok(Outcome::Number(number)),
    }
}

/// Whether a warning says that a part of the series is missing, as of a store or a remote read that did not
/// answer. Those that begin with `PromQL` are about the query itself.
fn is_partial(warning: &str) -> bool {
    !warning.starts_with("PromQL ")
}

/// What the server says is wrong with a query, where it says it.
pub(super) fn problem(body: &[u8]) -> Option<String> {
    let problem: Problem = serde_json::from_slice(body).ok()?;
    Some(problem.error.chars().take(MAX_WORDS).collect())
}

fn parse(what: &str) -> Unknown {
    unknown(
        UnknownKind::Parse,
        format!("the server answered with {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(body: &[u8], is_null_zero: bool) -> Result<f64, Unknown> {
        read(body)?.value(is_null_zero)
    }

    fn vector(elements: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{elements}]}}}}"#)
    }

    fn element(value: &str) -> String {
        format!(r#"{{"metric":{{"a":"b"}},"value":[1700000000.1,"{value}"]}}"#)
    }

    #[test]
    fn one_element_and_a_scalar_are_numbers() {
        assert_eq!(value(vector(&element("2.5e1")).as_bytes(), false), Ok(25.0));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"7"]}}"#;
        assert_eq!(value(scalar.as_bytes(), false), Ok(7.0));
    }

    #[test]
    fn nothing_nan_and_infinite_are_zero_only_if_null_is() {
        let empty = String::new();
        for elements in [empty, element("NaN"), element("+Inf"), element("-Inf")] {
            let body = vector(&elements);
            assert_eq!(value(body.as_bytes(), true), Ok(0.0), "{body}");
            let error = value(body.as_bytes(), false).unwrap_err();
            assert_eq!(error.kind, UnknownKind::Parse);
        }
    }

    #[test]
    fn what_was_read_in_part_is_unknown_and_a_hint_about_the_query_changes_nothing() {
        let with = |warning: &str, elements: &str| {
            let vector = vector(elements);
            format!("{{\"warnings\":[\"{warning}\"],{}", &vector[1..])
        };
        for elements in [String::new(), element("1")] {
            let body = with("No StoreAPIs matched for this query", &elements);
            let error = value(body.as_bytes(), true).unwrap_err();
            assert_eq!(error.kind, UnknownKind::Transport, "{body}");
        }
        let body = vector("").replacen('{', "{\"isPartial\":true,", 1);
        let error = value(body.as_bytes(), true).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Transport);
        let body = with("PromQL warning: quantile is out of range", &element("1"));
        assert_eq!(value(body.as_bytes(), true), Ok(1.0));
    }

    #[test]
    fn what_is_no_number_is_unknown_whatever_null_is() {
        let several = format!("{},{}", element("1"), element("2"));
        let matrix = r#"{"data":{"resultType":"matrix","result":[]}}"#;
        let text = r#"{"data":{"resultType":"string","result":[1.5,"7"]}}"#;
        for body in [
            vector(&several),
            vector(&element("-1")),
            vector(&element("many")),
            vector("{}"),
            matrix.to_owned(),
            text.to_owned(),
            "{}".to_owned(),
            "<html>".to_owned(),
            String::new(),
        ] {
            let error = value(body.as_bytes(), true).unwrap_err();
            assert_eq!(error.kind, UnknownKind::Parse, "{body}");
        }
    }

    #[test]
    fn the_server_says_what_is_wrong_and_not_too_much() {
        let long = "x".repeat(1000);
        let body = format!(r#"{{"status":"error","errorType":"bad_data","error":"{long}"}}"#);
        assert_eq!(problem(body.as_bytes()).unwrap().len(), MAX_WORDS);
        assert_eq!(problem(b"<html>"), None);
    }
}
