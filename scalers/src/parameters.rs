//! Reads a trigger's parameters: typed, trimmed, and with every problem named at once.
//!
//! KEDA's rules: a value comes from `metadata` or from the authentication, is trimmed, and an empty one
//! counts as absent. Values that came from the authentication or the environment are never repeated in
//! a message.

use std::collections::BTreeSet;

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

/// Where a parameter may come from. Metadata wins where both are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `metadata` alone.
    Metadata,
    /// A TriggerAuthentication alone.
    Auth,
    /// Either, but not both.
    Either,
}

/// A value, and what is said instead of it where it may be a secret.
#[derive(Clone, Copy)]
struct Found<'a> {
    value: &'a str,
    stand_in: Option<&'static str>,
}

/// The parameters of one trigger, and what was wrong with those read so far.
#[derive(Debug)]
pub(crate) struct Parameters<'a> {
    spec: &'a TriggerSpec,
    read: BTreeSet<&'static str>,
    problems: Vec<TriggerProblem>,
}

impl<'a> Parameters<'a> {
    /// Begins to read the parameters of `spec`.
    pub(crate) fn new(spec: &'a TriggerSpec) -> Self {
        Self {
            spec,
            read: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    /// A text, if it is there.
    pub(crate) fn text(&mut self, name: &'static str, place: Place) -> Option<&'a str> {
        self.find(name, place).map(|found| found.value)
    }

    /// A text that must be there; empty, with a problem, where it is not.
    pub(crate) fn required(&mut self, name: &'static str, place: Place) -> &'a str {
        self.text(name, place).unwrap_or_else(|| {
            self.problem(name, format!("{name} is required"));
            ""
        })
    }

    /// One of a closed set of words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        place: Place,
        allowed: &[(&str, T)],
        default: T,
    ) -> T {
        let Some(found) = self.find(name, place) else {
            return default;
        };
        match allowed.iter().find(|(word, _)| *word == found.value) {
            Some((_, value)) => *value,
            None => {
                let words: Vec<_> = allowed.iter().map(|(word, _)| *word).collect();
                self.wrong(name, found, &format!("one of {}", words.join(", ")));
                default
            }
        }
    }

    /// A whole number not below `min`.
    pub(crate) fn integer(&mut self, name: &'static str, min: i64, default: i64) -> i64 {
        let Some(found) = self.find(name, Place::Metadata) else {
            return default;
        };
        match found.value.parse::<i64>() {
            Ok(number) if number >= min => number,
            _ => {
                self.wrong(name, found, &format!("a whole number from {min}"));
                default
            }
        }
    }

    /// A switch, false by default. The words are those of Go's `strconv.ParseBool`.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        let Some(found) = self.find(name, Place::Metadata) else {
            return false;
        };
        match found.value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => {
                self.wrong(name, found, "true or false");
                false
            }
        }
    }

    /// Texts separated by commas, trimmed, empty ones dropped.
    pub(crate) fn list(&mut self, name: &'static str) -> Vec<String> {
        let Some(text) = self.text(name, Place::Metadata) else {
            return Vec::new();
        };
        split(text).map(str::to_owned).collect()
    }

    /// Numbers and ranges such as `1-4,7`; `None` where absent.
    pub(crate) fn integers(&mut self, name: &'static str) -> Option<BTreeSet<i32>> {
        let found = self.find(name, Place::Metadata)?;
        let mut numbers = BTreeSet::new();
        for part in split(found.value) {
            let Some((first, last)) = range(part) else {
                self.wrong(name, found, "numbers and ranges such as 1,2,5-9");
                return None;
            };
            numbers.extend(first..=last);
        }
        Some(numbers)
    }

    /// Notes that a parameter is known though its value is not used.
    pub(crate) fn accept(&mut self, name: &'static str) {
        self.read.insert(name);
    }

    /// Adds a problem that was found outside.
    pub(crate) fn problem(&mut self, name: &'static str, message: String) {
        self.problems.push(TriggerProblem {
            parameter: Some(name.to_owned()),
            message,
            is_warning: false,
        });
    }

    /// Everything that is wrong, unexpected parameters (as warnings) included.
    pub(crate) fn finish(mut self) -> Vec<TriggerProblem> {
        for name in self.spec.metadata.keys() {
            let bare = name.strip_suffix("FromEnv").unwrap_or(name);
            if !self.read.contains(name.as_str()) && !self.read.contains(bare) {
                self.problems.push(TriggerProblem {
                    parameter: Some(name.clone()),
                    message: format!("{name} is not a parameter of {} triggers", self.spec.kind),
                    is_warning: true,
                });
            }
        }
        self.problems
    }

    fn find(&mut self, name: &'static str, place: Place) -> Option<Found<'a>> {
        let metadata = self.spec.metadata.get(name).map(|value| value.trim());
        let auth = self.spec.auth.get(name).map(|value| value.expose().trim());
        let metadata = metadata.filter(|value| !value.is_empty() && place != Place::Auth);
        let auth = auth.filter(|value| !value.is_empty() && place != Place::Metadata);
        if place != Place::Auth {
            self.read.insert(name);
        }
        if metadata.is_some() && auth.is_some() {
            self.problem(
                name,
                format!("{name} is given both in metadata and in the authentication"),
            );
        }
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

    fn wrong(&mut self, name: &'static str, found: Found<'_>, allowed: &str) {
        let value = found.stand_in.unwrap_or(found.value);
        self.problem(
            name,
            format!("{name}: {value:?} is not allowed, expected {allowed}"),
        );
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Longest range accepted, so that a typing error cannot fill memory.
const MAX_RANGE: i32 = 100_000;

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
