//! Label selectors, as Kubernetes matches them.

use serde_json::{Map, Value};

use super::reader::{items, text};

/// Whether `selector` (of `matchLabels` and `matchExpressions`) matches; an empty one matches all.
pub(super) fn matches(selector: &Value, labels: &Map<String, Value>) -> bool {
    let equal = |(key, value): (&String, &Value)| labels.get(key) == Some(value);
    let wanted = selector["matchLabels"].as_object();
    let expressions = items(selector, "/matchExpressions");
    wanted.is_none_or(|wanted| wanted.iter().all(equal))
        && expressions
            .iter()
            .all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &Map<String, Value>) -> bool {
    let found = labels.get(text(expression, "/key"));
    let is_among = || found.is_some_and(|found| items(expression, "/values").contains(found));
    match text(expression, "/operator") {
        "In" => is_among(),
        "NotIn" => !is_among(),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        _ => false,
    }
}
