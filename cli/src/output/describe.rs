//! `describe`: everything known of one function.

use std::fmt::Write;

use zeron_core::metric::MetricValue;
use zeron_core::{Decision, Timestamp};

use super::list::{phase_name, tone};
use super::{Cell, Style, Table, age, clean, clock};
use crate::control::FunctionView;
use crate::explain;

/// Newest decisions that are shown.
const DECISIONS: usize = 5;

/// The text of `describe`.
pub(crate) fn describe(
    view: &FunctionView,
    decisions: &[impl AsRef<Decision>],
    style: Style,
    now: Timestamp,
) -> String {
    let status = &view.status;
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        writeln!(text, "{:<13} {value}", format!("{name}:")).ok();
    };
    field("Name", &style.strong(&status.owner.name));
    field("Namespace", status.id.namespace());
    field(
        "Function",
        &format!("{} {}", status.id.kind(), status.id.name()),
    );
    field("Declared by", &status.owner.to_string());
    field(
        "State",
        &style.paint(tone(status.phase), phase_name(status.phase)),
    );
    if let Some(message) = &status.message {
        field("Reason", &clean(message));
    }
    let max = status
        .max
        .map_or_else(|| "no limit".to_owned(), |max| format!("at most {max}"));
    let counts = format!(
        "{} ready, {} starting, {} wanted",
        status.ready, status.starting, status.desired
    );
    field("Replicas", &format!("{counts}, {max}"));
    field(
        "Requests",
        &format!("{} in flight, {} waiting", status.in_flight, status.queued),
    );
    if let Some(percent) = view.traffic_percent {
        field("Traffic", &format!("{percent} %"));
    }
    for url in &view.urls {
        field("URL", url);
    }
    if let Some(ms) = view.last_cold_start_ms {
        field("Cold start", &format!("{ms:.1} ms, the newest"));
    }
    field("Age", &age(now, status.since));
    let active = status.last_active.map(|at| format!("{} ago", age(now, at)));
    field("Last active", active.as_deref().unwrap_or("never"));
    failure(view, now, &mut text);
    sections(view, decisions, style, now, &mut text);
    text
}

fn failure(view: &FunctionView, now: Timestamp, text: &mut String) {
    let Some(failure) = &view.status.failure else {
        return;
    };
    let retry = failure.retry_at.map_or_else(String::new, |at| {
        format!(", next attempt in {}", super::duration(at.since(now)))
    });
    let head = format!(
        "{} ({} ago{retry})",
        clean(&failure.reason),
        age(now, failure.at)
    );
    writeln!(text, "{:<13} {head}", "Failure:").ok();
    for line in failure.message.lines() {
        writeln!(text, "{:<13} {}", "", clean(line)).ok();
    }
}

fn sections(
    view: &FunctionView,
    decisions: &[impl AsRef<Decision>],
    style: Style,
    now: Timestamp,
    text: &mut String,
) {
    if !view.status.triggers.is_empty() {
        let mut table = Table::new(&["TRIGGER", "METRIC", "VALUE", "TARGET", "ACTIVE", "AGE"]);
        for trigger in &view.status.triggers {
            let (value, at) = match &trigger.value {
                MetricValue::Known { value, at } => (explain::number(*value), *at),
                MetricValue::Unknown { reason, since } => {
                    (format!("unknown: {}", clean(&reason.message)), *since)
                }
            };
            // What is not known is neither work nor rest.
            let active = match (trigger.is_active, &trigger.value) {
                (true, _) => "yes",
                (false, MetricValue::Known { .. }) => "no",
                (false, MetricValue::Unknown { .. }) => "-",
            };
            // A source that was never read has not said what one replica should carry.
            let target = match trigger.target > 0.0 {
                true => explain::number(trigger.target),
                false => "-".to_owned(),
            };
            let cells = [
                trigger.kind.as_str(),
                &trigger.metric,
                &value,
                &target,
                active,
                &age(now, at),
            ];
            table.push(cells.map(Cell::from).to_vec());
        }
        write!(
            text,
            "\n{}\n{}",
            style.strong("Triggers"),
            table.render(style)
        )
        .ok();
    }
    if !view.replicas.is_empty() {
        let mut table = Table::new(&["REPLICA", "STATE", "PID", "ADDRESS", "AGE"]);
        for replica in &view.replicas {
            let or_dash = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
            table.push(vec![
                replica.name.as_str().into(),
                replica.state.as_str().into(),
                or_dash(replica.pid.map(|pid| pid.to_string())),
                or_dash(replica.address.clone()),
                or_dash(replica.started_at.map(|at| age(now, at))),
            ]);
        }
        write!(
            text,
            "\n{}\n{}",
            style.strong("Replicas"),
            table.render(style)
        )
        .ok();
    }
    let newest = &decisions[decisions.len().saturating_sub(DECISIONS)..];
    if !newest.is_empty() {
        writeln!(text, "\n{} ({})", style.strong("Decisions"), clock(now)).ok();
        text.push_str(&explain::timeline(newest, explain::Scope::All, style));
    }
}
