//! Reads a trigger's parameters: typed, trimmed, and with every problem named at once.
//!
//! A source declares its parameters as constants ([`Parameter`]) and reads them by these, so that what is
//! documented is what is read.
//!
//! KEDA's rules: a value comes from `metadata` or from the authentication, is trimmed, and an empty one
//! counts as absent. Values that came from the authentication or the environment are never repeated in
//! a message.

mod go_duration;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::TriggerProblem;

pub use table::{Kind, Parameter, Place};

/// A value, and what is said instead of it where it may be a secret.
#[derive(Clone, Copy)]
struct Found<'a> {
    value: &'a str,
    stand_in: Option<&'static str>,
}

/// The parameters of one trigger, and what was wrong with those read so far.
#[derive(Debug)]
pub struct Parameters<'a> {
    spec: &'a TriggerSpec,
    read: BTreeMap<&'static str, Place>,
    problems: Vec<TriggerProblem>,
    takes_all: bool,
}

impl<'a> Parameters<'a> {
    /// Begins to read the parameters of `spec`.
    pub fn new(spec: &'a TriggerSpec) -> Self {
        Self {
            spec,
            read: BTreeMap::new(),
            problems: Vec::new(),
            takes_all: false,
        }
    }

    /// A text: what is given, else its default.
    pub fn text(&mut self, parameter: &Parameter) -> Option<&'a str> {
        let found = self.find(parameter).map(|found| found.value);
        found.or(parameter.default)
    }

    /// A text that must be there; empty, with a problem, where it is not.
    pub fn required(&mut self, parameter: &Parameter) -> &'a str {
        self.text(parameter).unwrap_or("")
    }

    /// A text that is never shown.
    pub fn secret(&mut self, parameter: &Parameter) -> Option<Secret> {
        self.text(parameter).map(Secret::new)
    }

    /// Whether the trigger itself gives it, whatever the default.
    pub fn is_given(&mut self, parameter: &Parameter) -> bool {
        self.look_up(parameter).is_some()
    }

    /// One of a closed set of words: the one given, else the default, else `None`.
    pub fn choice(&mut self, parameter: &Parameter) -> Option<&'static str> {
        let Kind::Choice { words } = parameter.kind else {
            debug_assert!(false, "{} is no choice", parameter.name);
            return None;
        };
        let Some(found) = self.find(parameter) else {
            return parameter.default;
        };
        let word = words.iter().find(|word| **word == found.value);
        if word.is_none() {
            self.wrong(parameter, found);
        }
        word.copied().or(parameter.default)
    }

    /// A whole number, if it is given or has a default.
    pub fn integer(&mut self, parameter: &Parameter) -> Option<i64> {
        let Kind::Integer { min } = parameter.kind else {
            debug_assert!(false, "{} is no whole number", parameter.name);
            return None;
        };
        let default = || parameter.default.and_then(|text| text.parse().ok());
        let Some(found) = self.find(parameter) else {
            return default();
        };
        match found.value.parse::<i64>() {
            Ok(number) if number >= min => Some(number),
            _ => {
                self.wrong(parameter, found);
                default()
            }
        }
    }

    /// A whole number that is not negative and has a default.
    pub fn count(&mut self, parameter: &Parameter) -> u64 {
        debug_assert!(
            parameter.default.is_some(),
            "{} has no default",
            parameter.name
        );
        let number = self.integer(parameter).unwrap_or(0);
        u64::try_from(number).unwrap_or(0)
    }

    /// A finite number, if it is given or has a default.
    pub fn number(&mut self, parameter: &Parameter) -> Option<f64> {
        let Kind::Number { min, is_above } = parameter.kind else {
            debug_assert!(false, "{} is no number", parameter.name);
            return None;
        };
        let default = || parameter.default.and_then(|text| text.parse().ok());
        let Some(found) = self.find(parameter) else {
            return default();
        };
        let is_allowed = |number: f64| match min {
            Some(min) if is_above => number > min,
            Some(min) => number >= min,
            None => true,
        };
        match found.value.parse::<f64>() {
            Ok(number) if number.is_finite() && is_allowed(number) => Some(number),
            _ => {
                self.wrong(parameter, found);
                default()
            }
        }
    }

    /// What one replica carries. An input of a formula needs none: 1 stands for it, and counts nowhere.
    pub fn target(&mut self, parameter: &Parameter) -> Option<f64> {
        if self.spec.is_formula_input && !self.is_given(parameter) {
            self.read.insert(parameter.name, parameter.place);
            return Some(1.0);
        }
        self.number(parameter)
    }

    /// A switch.
    pub fn flag(&mut self, parameter: &Parameter) -> bool {
        let default = parameter.default == Some("true");
        let Some(found) = self.find(parameter) else {
            return default;
        };
        match found.value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => {
                self.wrong(parameter, found);
                default
            }
        }
    }

    /// A duration, if it is given or has a default.
    pub fn duration(&mut self, parameter: &Parameter) -> Option<Duration> {
        let default = || parameter.default.and_then(go_duration::parse);
        let Some(found) = self.find(parameter) else {
            return default();
        };
        let duration = go_duration::parse(found.value);
        if duration.is_none() {
            self.wrong(parameter, found);
        }
        duration.or_else(default)
    }

    /// Texts separated by commas, trimmed, empty ones dropped.
    pub fn list(&mut self, parameter: &Parameter) -> Vec<String> {
        let text = self.text(parameter).unwrap_or("");
        split(text).map(str::to_owned).collect()
    }

    /// `name=value` pairs separated by commas, in their order.
    pub fn pairs(&mut self, parameter: &Parameter) -> Vec<(String, String)> {
        let Some(found) = self.find(parameter) else {
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for part in split(found.value) {
            let Some((name, value)) = part.split_once('=') else {
                self.wrong(parameter, found);
                return Vec::new();
            };
            pairs.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        pairs
    }

    /// Numbers and ranges such as `1-4,7`; `None` where absent.
    pub fn integers(&mut self, parameter: &Parameter) -> Option<BTreeSet<i32>> {
        let found = self.find(parameter)?;
        let mut numbers = BTreeSet::new();
        for part in split(found.value) {
            let Some((first, last)) = range(part) else {
                self.wrong(parameter, found);
                return None;
            };
            numbers.extend(first..=last);
            if numbers.len() > MAX_NUMBERS {
                self.wrong(parameter, found);
                return None;
            }
        }
        Some(numbers)
    }

    /// Takes note of a parameter whose value is not used ([`Parameter::ignored`]).
    pub fn accept(&mut self, parameter: &Parameter) {
        self.find(parameter);
    }

    /// Takes note of a parameter that is not supported: where it is given, that is an error, in the table's words.
    pub fn refuse(&mut self, parameter: &Parameter) {
        if self.is_given(parameter) {
            let about = parameter.about.trim_start_matches("refused: ");
            self.problem(parameter, format!("{}: {about}", parameter.name));
        }
        self.accept(parameter);
    }

    /// The value of a key of `metadata` whatever it is named, and whether it may be shown.
    pub fn metadata(&self) -> &'a BTreeMap<String, String> {
        &self.spec.metadata
    }

    /// The trigger.
    pub fn spec(&self) -> &'a TriggerSpec {
        self.spec
    }

    /// Takes every other key of `metadata` as known: sources that hand all of it on.
    pub fn accept_others(&mut self) {
        self.takes_all = true;
    }

    /// Whether something was wrong so far.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| !problem.is_warning)
    }

    /// Adds a problem that was found outside.
    pub fn problem(&mut self, parameter: &Parameter, message: impl Into<String>) {
        self.push(parameter, message.into(), false);
    }

    /// Adds something that works all the same.
    pub fn warning(&mut self, parameter: &Parameter, message: impl Into<String>) {
        self.push(parameter, message.into(), true);
    }

    fn push(&mut self, parameter: &Parameter, message: String, is_warning: bool) {
        self.problems.push(TriggerProblem {
            parameter: Some(parameter.name.to_owned()),
            message,
            is_warning,
        });
    }

    /// Everything that is wrong, unexpected parameters (as warnings) included.
    pub fn finish(mut self) -> Vec<TriggerProblem> {
        for name in self.spec.metadata.keys() {
            let bare = name.strip_suffix("FromEnv").unwrap_or(name);
            let is_read = [name, bare].iter().any(|name| {
                let place = self.read.get(*name);
                place.is_some_and(|place| *place != Place::Auth)
            });
            if !is_read && !self.takes_all {
                self.problems.push(TriggerProblem {
                    parameter: Some(name.clone()),
                    message: format!("{name} is not a parameter of {} triggers", self.spec.kind),
                    is_warning: true,
                });
            }
        }
        self.problems
    }

    /// Looks a parameter up, and notes when it is missing though required.
    fn find(&mut self, parameter: &Parameter) -> Option<Found<'a>> {
        let Parameter { name, place, .. } = *parameter;
        let is_first = self.read.insert(name, place).is_none();
        let found = self.look_up(parameter);
        if is_first && parameter.is_required && found.is_none() {
            self.problem(parameter, format!("{name} is required"));
        }
        let is_both = place == Place::Either && self.has_both(name);
        if is_first && is_both {
            let message = format!("{name} is given both in metadata and in the authentication");
            self.problem(parameter, message);
        }
        found
    }

    fn look_up(&self, parameter: &Parameter) -> Option<Found<'a>> {
        let Parameter { name, place, .. } = *parameter;
        let metadata = self.in_metadata(name).filter(|_| place != Place::Auth);
        let auth = self.in_auth(name).filter(|_| place != Place::Metadata);
        let is_variable = self.spec.from_environment.contains(name);
        match (metadata, auth) {
            (Some(value), _) => Some(Found {
                value,
                stand_in: is_variable.then_some("of the environment"),
            }),
            (None, Some(value)) => Some(Found {
                value,
                stand_in: Some("of the authentication"),
            }),
            (None, None) => None,
        }
    }

    fn has_both(&self, name: &str) -> bool {
        self.in_metadata(name).is_some() && self.in_auth(name).is_some()
    }

    fn in_metadata(&self, name: &str) -> Option<&'a str> {
        let value = self.spec.metadata.get(name).map(|value| value.trim());
        value.filter(|value| !value.is_empty())
    }

    fn in_auth(&self, name: &str) -> Option<&'a str> {
        let value = self.spec.auth.get(name).map(|value| value.expose().trim());
        value.filter(|value| !value.is_empty())
    }

    fn wrong(&mut self, parameter: &Parameter, found: Found<'_>) {
        let value = found.stand_in.unwrap_or(found.value);
        let (name, allowed) = (parameter.name, parameter.allowed());
        let message = format!("{name}: {value:?} is not allowed, expected {allowed}");
        self.problem(parameter, message);
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Longest range accepted, so that a typing error cannot fill memory.
const MAX_RANGE: i32 = 100_000;
/// So many numbers of all ranges together.
const MAX_NUMBERS: usize = 100_000;

fn range(part: &str) -> Option<(i32, i32)> {
    let (first, last) = match part.split_once('-') {
        Some((first, last)) => (first.trim().parse().ok()?, last.trim().parse().ok()?),
        None => {
            let number: i32 = part.parse().ok()?;
            (number, number)
        }
    };
    (first >= 0 && first <= last && last - first < MAX_RANGE).then_some((first, last))
}

#[cfg(test)]
mod tests;
