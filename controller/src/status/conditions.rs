//! Lists of conditions, in KEDA's form and in that of `meta/v1`.

use jiff::fmt::temporal::DateTimePrinter;
use serde_json::{Value, json};
use zeron_core::Timestamp;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1_024;

/// Whether something holds, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
}

pub(super) const TRUE: &str = "True";
pub(super) const FALSE: &str = "False";
pub(super) const UNKNOWN: &str = "Unknown";

impl State {
    pub(super) fn new(
        kind: &'static str,
        status: &'static str,
        reason: &str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            status,
            reason: reason_of(reason),
            message: bounded(message.into()),
        }
    }
}

/// A reason must be one CamelCase word.
fn reason_of(reason: &str) -> String {
    let is_allowed = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let word: String = reason.chars().filter(is_allowed).take(128).collect();
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        word
    } else {
        format!("Reason{word}")
    }
}

fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = message.floor_char_boundary(MAX_MESSAGE - 3);
        message.truncate(end);
        message.push_str("...");
    }
    message
}

/// KEDA's list: without times. Conditions of others stay, behind ours.
pub(super) fn keda(old: &Value, states: &[State], gone: &[&str]) -> Value {
    let own = states.iter().map(
        |s| json!({ "type": s.kind, "status": s.status, "reason": s.reason, "message": s.message }),
    );
    let others = others(old, states, gone);
    Value::Array(own.chain(others).collect())
}

/// The list of `meta/v1`: the time is that of the last change of `status`.
pub(super) fn standard(old: &Value, states: &[State], generation: i64, now: Timestamp) -> Value {
    let own = states.iter().map(|s| {
        let before = find(old, s.kind);
        let since = before
            .filter(|c| c["status"] == s.status)
            .and_then(|c| c["lastTransitionTime"].as_str());
        json!({
            "type": s.kind,
            "status": s.status,
            "reason": s.reason,
            "message": s.message,
            "observedGeneration": generation.max(0),
            "lastTransitionTime": since.map_or_else(|| rfc3339(now), str::to_owned),
        })
    });
    // Old add-ons wrote conditions without a time, which the schema refuses by now.
    let others = others(old, states, &[]).filter(|c| c["lastTransitionTime"].is_string());
    Value::Array(own.chain(others).collect())
}

/// The condition of a kind.
pub(super) fn find<'v>(conditions: &'v Value, kind: &str) -> Option<&'v Value> {
    conditions.as_array()?.iter().find(|c| c["type"] == kind)
}

fn others<'v>(
    old: &'v Value,
    states: &'v [State],
    gone: &'v [&str],
) -> impl Iterator<Item = Value> + 'v {
    let is_ours = |c: &&Value| {
        let kind = c["type"].as_str().unwrap_or_default();
        states.iter().any(|s| s.kind == kind) || gone.contains(&kind)
    };
    let old = old.as_array().into_iter().flatten();
    old.filter(move |c| !is_ours(c)).cloned()
}

/// A time in whole seconds, as Kubernetes writes it.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    let mut text = String::new();
    // Writing to a string cannot fail.
    DateTimePrinter::new()
        .precision(Some(0))
        .print_timestamp(&time, &mut text)
        .ok();
    text
}

/// A time as Kubernetes writes it.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_microsecond())
        .ok()
        .map(Timestamp::from_micros)
}
