//! Prometheus text: the sum of the series that a selector such as `name{label="value"}` picks.

mod samples;
mod words;

use regex::{Regex, RegexBuilder};
use zeron_core::metric::{Unknown, UnknownKind};

use crate::source::unknown;
use samples::Sample;
use words::Words;

/// Longest selector.
const MAX_LENGTH: usize = 4096;
/// Bytes that a regular expression may take once it is compiled.
const MAX_REGEX: usize = 1 << 20;

/// Which series are meant.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    name: Option<String>,
    matchers: Vec<Matcher>,
}

/// What a label must be. One that a series does not have is empty, as in PromQL.
#[derive(Clone, Debug)]
struct Matcher {
    label: String,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    Equal(String),
    NotEqual(String),
    Like(Regex),
    NotLike(Regex),
}

impl Wanted {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equal(wanted) => value == wanted,
            Self::NotEqual(wanted) => value != wanted,
            Self::Like(regex) => regex.is_match(value),
            Self::NotLike(regex) => !regex.is_match(value),
        }
    }
}

impl Selector {
    /// A selector in the words of PromQL, without ranges and offsets.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} bytes"));
        }
        let mut words = Words::new(text);
        let mut selector = Self {
            name: words.name().map(str::to_owned),
            matchers: Vec::new(),
        };
        if words.take("{") {
            while !words.take("}") {
                let matcher = matcher(&mut words)?;
                selector.add(matcher)?;
                if !words.take(",") {
                    if words.take("}") {
                        break;
                    }
                    return Err("has matchers without a comma between them".to_owned());
                }
            }
        }
        if !words.is_done() {
            return Err("is no selector such as name{label=\"value\"}".to_owned());
        }
        if selector.name.is_none() {
            return Err("names no metric".to_owned());
        }
        Ok(selector)
    }

    /// `__name__` is another way to name the metric.
    fn add(&mut self, matcher: Matcher) -> Result<(), String> {
        if matcher.label != "__name__" {
            self.matchers.push(matcher);
            return Ok(());
        }
        match matcher.wanted {
            Wanted::Equal(name) if self.name.is_none() => {
                self.name = Some(name);
                Ok(())
            }
            _ => Err("must name one metric, by its name or by __name__=".to_owned()),
        }
    }

    /// The sum of all samples in `text` that are meant.
    pub(super) fn sum(&self, text: &str) -> Result<f64, Unknown> {
        let mut sum = None;
        for line in text.lines() {
            let sample = Sample::read(line, |name| self.is_named(name));
            let sample = sample.map_err(|what| {
                let message = format!("the answer is no Prometheus text: {what}");
                unknown(UnknownKind::Parse, message)
            })?;
            if let Some(sample) = sample.filter(|sample| self.picks(sample)) {
                sum = Some(sum.unwrap_or(0.0) + sample.value);
            }
        }
        sum.ok_or_else(|| {
            let message = "the answer has no series that valueLocation selects";
            unknown(UnknownKind::Missing, message)
        })
    }

    fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    fn picks(&self, sample: &Sample) -> bool {
        let mut matchers = self.matchers.iter();
        matchers.all(|matcher| matcher.wanted.holds(sample.label(&matcher.label)))
    }
}

fn matcher(words: &mut Words<'_>) -> Result<Matcher, String> {
    let label = words
        .name()
        .ok_or("has a matcher without a label")?
        .to_owned();
    let operator = ["=~", "!~", "!=", "="]
        .into_iter()
        .find(|it| words.take(it));
    let operator = operator.ok_or("has a matcher without =, !=, =~ or !~")?;
    let value = words.quoted()?;
    let wanted = match operator {
        "=~" => Wanted::Like(regex(&value)?),
        "!~" => Wanted::NotLike(regex(&value)?),
        "!=" => Wanted::NotEqual(value),
        _ => Wanted::Equal(value),
    };
    Ok(Matcher { label, wanted })
}

/// Matches the whole value, as Prometheus does.
fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(&format!("^(?s:{text})$"))
        .size_limit(MAX_REGEX)
        .build()
        .map_err(|_| "has a regular expression that is none, or too large".to_owned())
}

#[cfg(test)]
mod tests;
