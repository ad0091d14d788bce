//! Reads a document field by field; what nobody reads is reported.
//!
//! Three classes of field: read by the code; known but without effect here
//! ([`Fields::unsupported`]); unknown, which Kubernetes refuses under strict field validation.
//! Reading never stops at the first fault.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};
use zeron_core::ObjectRef;

use crate::document::{Document, join_index, join_key};
use crate::duration::parse_duration;
use crate::platform::Platform;
use crate::problem::{Problem, Problems, Severity};

/// Where problems of one object go.
#[derive(Debug)]
pub struct Scope<'d> {
    document: &'d Document,
    problems: &'d Problems,
    object: Option<ObjectRef>,
}

impl<'d> Scope<'d> {
    /// Problems of `object` in `document` go to `problems`.
    pub fn new(document: &'d Document, problems: &'d Problems, object: Option<ObjectRef>) -> Self {
        Self {
            document,
            problems,
            object,
        }
    }

    /// The document's own fields. `apiVersion`, `kind`, `metadata` and `status` count as read.
    pub fn root(&'d self) -> Fields<'d> {
        let node = Node {
            value: &self.document.value,
            path: String::new(),
            scope: self,
        };
        let fields = node.fields();
        fields.accept(&["apiVersion", "kind", "metadata", "status"]);
        fields
    }

    /// The document.
    pub fn document(&self) -> &'d Document {
        self.document
    }

    /// Where all problems go.
    pub fn problems(&self) -> &'d Problems {
        self.problems
    }

    /// Reports an error at the field `path`.
    pub fn error(&self, path: &str, message: impl Into<String>) {
        self.report(Severity::Error, path, message.into());
    }

    /// Reports a warning at the field `path`.
    pub fn warn(&self, path: &str, message: impl Into<String>) {
        self.report(Severity::Warning, path, message.into());
    }

    /// Reports that something without effect is written at `path`: a warning, or an error when
    /// strict.
    pub fn without_effect(&self, path: &str, message: impl Into<String>) {
        let severity = if self.problems.is_strict() {
            Severity::Error
        } else {
            Severity::Warning
        };
        self.report(severity, path, message.into());
    }

    /// Reports that a part of the object cannot work: an error on one machine, where the set is
    /// refused; in a cluster the rest of the object works all the same.
    pub fn partial(&self, path: &str, message: impl Into<String>) {
        let severity = match self.problems.platform() {
            Platform::Machine => Severity::Error,
            Platform::Cluster => Severity::Partial,
        };
        self.report(severity, path, message.into());
    }

    /// Where the object takes effect.
    pub fn platform(&self) -> Platform {
        self.problems.platform()
    }

    fn report(&self, severity: Severity, path: &str, message: String) {
        if self.problems.is_muted() {
            return;
        }
        self.problems.push(Problem {
            severity,
            location: self.document.location(path),
            object: self.object.clone(),
            field: path.to_owned(),
            message,
        });
    }
}

/// One value with its path.
#[derive(Clone, Debug)]
pub struct Node<'d> {
    value: &'d Value,
    path: String,
    scope: &'d Scope<'d>,
}

impl<'d> Node<'d> {
    /// The value itself.
    pub fn value(&self) -> &'d Value {
        self.value
    }

    /// Its path, such as `spec.traffic[0].percent`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports `VALUE: must be ...`.
    pub fn refuse(&self, allowed: &str) {
        self.scope
            .error(&self.path, format!("{}: {allowed}", shown(self.value)));
    }

    /// Reports an error here.
    pub fn error(&self, message: impl Into<String>) {
        self.scope.error(&self.path, message);
    }

    /// A string, or a problem.
    pub fn string(&self) -> Option<&'d str> {
        let text = self.value.as_str();
        if text.is_none() {
            let is_scalar = !self.value.is_object() && !self.value.is_array();
            self.refuse(if is_scalar {
                "must be a string: put it in quotes"
            } else {
                "must be a string"
            });
        }
        text
    }

    /// An integer within `range`, or a problem.
    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        // A float without a fraction is an integer, as in JSON.
        let whole = self
            .value
            .as_f64()
            .filter(|f| f.fract() == 0.0 && f.abs() < 1e15);
        #[allow(clippy::cast_possible_truncation)]
        let number = self.value.as_i64().or(whole.map(|f| f as i64));
        let found = number.filter(|n| range.contains(n));
        if found.is_none() {
            self.refuse(&allowed_range(&range));
        }
        found
    }

    /// A boolean, or a problem.
    pub fn boolean(&self) -> Option<bool> {
        let found = self.value.as_bool();
        if found.is_none() {
            self.refuse("must be true or false");
        }
        found
    }

    /// A duration such as `30s`, or a problem.
    pub fn duration(&self) -> Option<Duration> {
        match parse_duration(self.string()?) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.refuse(&error.to_string());
                None
            }
        }
    }

    /// The fields of a mapping; none, and a problem, when it is no mapping.
    pub fn fields(&self) -> Fields<'d> {
        if !self.value.is_object() {
            self.refuse("must be a mapping");
        }
        Fields {
            map: self.value.as_object(),
            path: self.path.clone(),
            scope: self.scope,
            seen: RefCell::default(),
        }
    }

    /// The items of a list; none, and a problem, when it is no list.
    pub fn items(&self) -> Vec<Node<'d>> {
        let Some(items) = self.value.as_array() else {
            self.refuse("must be a list");
            return Vec::new();
        };
        let item = |(i, value)| Node {
            value,
            path: join_index(&self.path, i),
            scope: self.scope,
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The strings of a list.
    pub fn strings(&self) -> Vec<&'d str> {
        self.items().iter().filter_map(Node::string).collect()
    }
}

/// The fields of one mapping. When it is dropped, fields that were not read are reported.
#[derive(Debug)]
pub struct Fields<'d> {
    map: Option<&'d Map<String, Value>>,
    path: String,
    scope: &'d Scope<'d>,
    /// Those of its names that were read.
    seen: RefCell<Vec<&'d str>>,
}

impl<'d> Fields<'d> {
    /// Where problems go.
    pub fn scope(&self) -> &'d Scope<'d> {
        self.scope
    }

    /// The mapping's own path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of a field.
    pub fn at(&self, name: &str) -> String {
        join_key(&self.path, name)
    }

    /// A field that is given and not null.
    pub fn get(&self, name: &str) -> Option<Node<'d>> {
        let (name, value) = self.map?.get_key_value(name)?;
        self.seen.borrow_mut().push(name);
        Some(Node {
            value: Some(value).filter(|v| !v.is_null())?,
            path: self.at(name),
            scope: self.scope,
        })
    }

    /// Whether a field is given and not null. Does not count as reading it.
    pub fn has(&self, name: &str) -> bool {
        self.map
            .and_then(|m| m.get(name))
            .is_some_and(|v| !v.is_null())
    }

    /// The names of all fields that are given.
    pub fn names(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        self.map
            .into_iter()
            .flat_map(|m| m.keys())
            .map(String::as_str)
    }

    /// A mapping; an empty one when it is not given.
    pub fn fields(&self, name: &str) -> Fields<'d> {
        self.optional_fields(name).unwrap_or_else(|| Fields {
            map: None,
            path: self.at(name),
            scope: self.scope,
            seen: RefCell::default(),
        })
    }

    /// A mapping, if it is given.
    pub fn optional_fields(&self, name: &str) -> Option<Fields<'d>> {
        self.get(name).map(|node| node.fields())
    }

    /// A list's items; none when it is not given.
    pub fn items(&self, name: &str) -> Vec<Node<'d>> {
        self.get(name).map(|node| node.items()).unwrap_or_default()
    }

    /// A list of strings; none when it is not given.
    pub fn strings(&self, name: &str) -> Vec<String> {
        let list = self
            .get(name)
            .map(|node| node.strings())
            .unwrap_or_default();
        list.into_iter().map(str::to_owned).collect()
    }

    /// A string.
    pub fn string(&self, name: &str) -> Option<&'d str> {
        self.get(name)?.string()
    }

    /// A string that must be given and not be empty.
    pub fn required_string(&self, name: &str) -> Option<&'d str> {
        let Some(node) = self.get(name) else {
            self.error(name, "is missing");
            return None;
        };
        let text = node.string()?;
        if text.is_empty() {
            node.error("must not be empty");
            return None;
        }
        Some(text)
    }

    /// An integer within `range`, converted to the type that the caller keeps it in.
    pub fn integer<T: TryFrom<i64>>(&self, name: &str, range: RangeInclusive<i64>) -> Option<T> {
        T::try_from(self.get(name)?.integer(range)?).ok()
    }

    /// A boolean.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.get(name)?.boolean()
    }

    /// A duration such as `30s`.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.get(name)?.duration()
    }

    /// Whole seconds within `range`.
    pub fn seconds(&self, name: &str, range: RangeInclusive<i64>) -> Option<Duration> {
        self.integer(name, range).map(Duration::from_secs)
    }

    /// One of `allowed`.
    pub fn choice<T: Copy>(&self, name: &str, allowed: &[(&str, T)]) -> Option<T> {
        let node = self.get(name)?;
        let text = node.string()?;
        let found = allowed.iter().find(|(spelling, _)| *spelling == text);
        if found.is_none() {
            let list: Vec<&str> = allowed.iter().map(|(spelling, _)| *spelling).collect();
            node.refuse(&format!("must be one of {}", list.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    /// A mapping of strings to strings.
    pub fn string_map(&self, name: &str) -> BTreeMap<String, String> {
        let Some(fields) = self.optional_fields(name) else {
            return BTreeMap::new();
        };
        let pair = |key: &'d str| Some((key.to_owned(), fields.get(key)?.string()?.to_owned()));
        fields.names().filter_map(pair).collect()
    }

    /// Reports an error at a field.
    pub fn error(&self, name: &str, message: impl Into<String>) {
        self.scope.error(&self.at(name), message);
    }

    /// Reports a warning at a field.
    pub fn warn(&self, name: &str, message: impl Into<String>) {
        self.scope.warn(&self.at(name), message);
    }

    /// Counts fields as read that need no reading.
    pub fn accept(&self, names: &[&str]) {
        let given = |name: &&str| Some(self.map?.get_key_value(*name)?.0.as_str());
        self.seen
            .borrow_mut()
            .extend(names.iter().filter_map(given));
    }

    /// Reports those of `names` that are given: Kubernetes knows them, they have no effect here.
    pub fn unsupported(&self, names: &[&str]) {
        for name in names {
            if self.get(name).is_some() {
                self.scope
                    .without_effect(&self.at(name), "is not supported here and has no effect");
            }
        }
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        if self.scope.problems.is_muted() {
            return;
        }
        let seen = self.seen.borrow();
        for name in self
            .map
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| !seen.contains(&name.as_str()))
        {
            self.scope
                .without_effect(&join_key(&self.path, name), "unknown field");
        }
    }
}

/// A value as a message shows it, on one line and not too long.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    match value {
        Value::Object(_) => "a mapping".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.chars().count() > LONGEST => {
            format!("{:?}...", text.chars().take(LONGEST).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn allowed_range(range: &RangeInclusive<i64>) -> String {
    match (*range.start(), *range.end()) {
        (i64::MIN, i64::MAX) => "must be an integer".to_owned(),
        (low, end) if end >= i64::from(i32::MAX) => format!("must be an integer of at least {low}"),
        (low, high) => format!("must be an integer from {low} to {high}"),
    }
}
