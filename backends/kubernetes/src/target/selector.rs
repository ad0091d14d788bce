//! A label selector and which label sets it takes.

use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

/// Requirements on labels, all of which must hold. **An empty one takes nothing**: a target
/// without a selector must not claim every pod of its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Requirement {
    /// The label has one of these values.
    In(Arc<str>, Vec<Arc<str>>),
    /// The label is missing or has another value.
    NotIn(Arc<str>, Vec<Arc<str>>),
    /// The label is there.
    Exists(Arc<str>),
    /// The label is missing.
    DoesNotExist(Arc<str>),
}

/// A selector that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// Not an object with `matchLabels` and `matchExpressions`.
    #[error("a label selector must be an object with matchLabels or matchExpressions")]
    Shape,
    /// An expression without a key, or an operator that does not exist.
    #[error("label selector expression {index}: {message}")]
    Expression {
        /// Position in `matchExpressions`, or in the string.
        index: usize,
        /// What is wrong.
        message: &'static str,
    },
}

impl LabelSelector {
    /// A selector of exact labels.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let exact = |(key, value): (&str, &str)| Requirement::In(key.into(), vec![value.into()]);
        Self {
            requirements: labels.into_iter().map(exact).collect(),
        }
    }

    /// Reads `spec.selector` of a workload: `matchLabels` and `matchExpressions`.
    ///
    /// # Errors
    /// [`SelectorError`] when it is no such object.
    pub fn from_json(value: &Value) -> Result<Self, SelectorError> {
        let object = value.as_object().ok_or(SelectorError::Shape)?;
        let mut requirements = Vec::new();
        match object.get("matchLabels") {
            None | Some(Value::Null) => {}
            Some(Value::Object(labels)) => {
                for (key, value) in labels {
                    let value = value.as_str().ok_or(SelectorError::Shape)?;
                    requirements.push(Requirement::In(key.as_str().into(), vec![value.into()]));
                }
            }
            Some(_) => return Err(SelectorError::Shape),
        }
        match object.get("matchExpressions") {
            None | Some(Value::Null) => {}
            Some(Value::Array(expressions)) => {
                for (index, expression) in expressions.iter().enumerate() {
                    requirements.push(expression_from_json(index, expression)?);
                }
            }
            Some(_) => return Err(SelectorError::Shape),
        }
        Ok(Self { requirements })
    }

    /// Reads the string form that `/scale` shows as `status.selector`, such as
    /// `app=web,tier in (a,b),!canary`.
    ///
    /// # Errors
    /// [`SelectorError`] when a part has no such form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (index, part) in split_outside_parentheses(text).into_iter().enumerate() {
            requirements.push(requirement_from_text(index, part)?);
        }
        Ok(Self { requirements })
    }

    /// Whether it has no requirement, and therefore takes nothing.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether it takes a set of labels, given as a look-up.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let holds = |requirement: &Requirement| match requirement {
            Requirement::In(key, values) => {
                label(key).is_some_and(|value| values.iter().any(|one| &**one == value))
            }
            Requirement::NotIn(key, values) => {
                label(key).is_none_or(|value| values.iter().all(|one| &**one != value))
            }
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::DoesNotExist(key) => label(key).is_none(),
        };
        !self.is_empty() && self.requirements.iter().all(holds)
    }

    /// The label pairs of each requirement that names some: every pod that it takes has one pair
    /// of every such group. What an index is made of.
    pub(crate) fn pair_groups(&self) -> impl Iterator<Item = (&Arc<str>, &[Arc<str>])> {
        self.requirements
            .iter()
            .filter_map(|requirement| match requirement {
                Requirement::In(key, values) => Some((key, values.as_slice())),
                Requirement::NotIn(..) | Requirement::Exists(_) | Requirement::DoesNotExist(_) => {
                    None
                }
            })
    }
}

/// The string form, as the API takes it in `labelSelector`.
impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => {
                    write!(f, "{key}={}", values[0])?;
                }
                Requirement::In(key, values) => write!(f, "{key} in ({})", values.join(","))?,
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", values.join(","))?,
                Requirement::Exists(key) => write!(f, "{key}")?,
                Requirement::DoesNotExist(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

fn expression_from_json(index: usize, value: &Value) -> Result<Requirement, SelectorError> {
    let wrong = |message| SelectorError::Expression { index, message };
    let key: Arc<str> = match value.get("key").and_then(Value::as_str) {
        Some(key) => key.into(),
        None => return Err(wrong("key is missing")),
    };
    let values = || -> Vec<Arc<str>> {
        let list = value.get("values").and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(Arc::from)
            .collect()
    };
    match value.get("operator").and_then(Value::as_str) {
        Some("In") => Ok(Requirement::In(key, values())),
        Some("NotIn") => Ok(Requirement::NotIn(key, values())),
        Some("Exists") => Ok(Requirement::Exists(key)),
        Some("DoesNotExist") => Ok(Requirement::DoesNotExist(key)),
        _ => Err(wrong("operator must be In, NotIn, Exists or DoesNotExist")),
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn requirement_from_text(index: usize, part: &str) -> Result<Requirement, SelectorError> {
    let wrong = |message| SelectorError::Expression { index, message };
    let set = |list: &str| -> Result<Vec<Arc<str>>, SelectorError> {
        let inner = list
            .trim()
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or(wrong("a set of values must be in parentheses"))?;
        Ok(inner.split(',').map(|value| value.trim().into()).collect())
    };
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement::DoesNotExist(key.trim().into()));
    }
    if let Some((key, values)) = part.split_once(" notin ") {
        return Ok(Requirement::NotIn(key.trim().into(), set(values)?));
    }
    if let Some((key, values)) = part.split_once(" in ") {
        return Ok(Requirement::In(key.trim().into(), set(values)?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(
            key.trim().into(),
            vec![value.trim().into()],
        ));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Ok(Requirement::In(
            key.trim().into(),
            vec![value.trim().into()],
        ));
    }
    match part.contains(char::is_whitespace) {
        true => Err(wrong("not a requirement")),
        false => Ok(Requirement::Exists(part.into())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn takes(selector: &LabelSelector, labels: &[(&'static str, &'static str)]) -> bool {
        selector.matches(|key| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v))
    }

    #[test]
    fn labels_and_expressions_must_all_hold() {
        let selector = LabelSelector::from_json(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "canary", "operator": "DoesNotExist"},
            ],
        }))
        .unwrap();
        assert!(takes(
            &selector,
            &[("app", "web"), ("tier", "b"), ("x", "y")]
        ));
        assert!(!takes(&selector, &[("app", "web"), ("tier", "c")]));
        assert!(!takes(&selector, &[("app", "web")]));
        assert!(!takes(
            &selector,
            &[("app", "web"), ("tier", "a"), ("canary", "")]
        ));
    }

    #[test]
    fn the_string_form_means_the_same_and_comes_back() {
        let text = "app=web,tier in (a,b),zone notin (x),stage,!canary";
        let selector = LabelSelector::parse(text).unwrap();
        assert_eq!(selector.to_string(), text);
        assert!(takes(
            &selector,
            &[("app", "web"), ("tier", "a"), ("stage", "")]
        ));
        assert!(!takes(&selector, &[("app", "web"), ("tier", "a")]));
        let not_equal = LabelSelector::parse("app!=web, tier == a").unwrap();
        assert!(takes(&not_equal, &[("tier", "a")]));
        assert!(!takes(&not_equal, &[("tier", "a"), ("app", "web")]));
    }

    #[test]
    fn an_empty_selector_takes_nothing() {
        let empty = LabelSelector::from_json(&json!({})).unwrap();
        assert!(!takes(&empty, &[("app", "web")]));
        assert!(!takes(&LabelSelector::parse("").unwrap(), &[]));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let wrong = LabelSelector::from_json(&json!({
            "matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Has"}],
        }));
        assert_eq!(
            wrong.unwrap_err().to_string(),
            "label selector expression 1: operator must be In, NotIn, Exists or DoesNotExist"
        );
        assert!(LabelSelector::parse("app in a").is_err());
        assert!(LabelSelector::parse("a b").is_err());
    }
}
