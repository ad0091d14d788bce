//! `ls`: one line per function.

use std::collections::HashMap;

use zeron_core::status::Phase;
use zeron_core::{ObjectRef, Timestamp};

use super::style::Tone;
use super::{Cell, Style, Table, age, clean};
use crate::args::Format;
use crate::control::FunctionView;

/// Longest reason in the narrow table, in characters.
const MAX_REASON: usize = 60;

/// How a list is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListView {
    pub(crate) format: Format,
    pub(crate) style: Style,
    pub(crate) now: Timestamp,
    /// Also revisions that have neither traffic nor replicas.
    pub(crate) is_complete: bool,
    /// Say the namespaces also where there is one alone.
    pub(crate) has_namespaces: bool,
}

/// The table of `ls`.
pub(crate) fn list(views: &[FunctionView], how: ListView) -> String {
    let mut shown: Vec<&FunctionView> = views
        .iter()
        .filter(|view| how.is_complete || is_current(view))
        .collect();
    shown.sort_by_key(|view| {
        let status = &view.status;
        (status.id.namespace(), &status.owner.name, &status.id)
    });
    if shown.is_empty() {
        return "No functions.\n".to_owned();
    }
    let namespaces = how.has_namespaces
        || shown
            .windows(2)
            .any(|v| v[0].status.id.namespace() != v[1].status.id.namespace());
    let is_wide = how.format == Format::Wide;
    let siblings = count_siblings(&shown);
    let mut table = Table::new(&headings(namespaces, is_wide));
    for view in shown {
        let is_only = siblings
            .get(&view.status.owner)
            .is_none_or(|count| *count == 1);
        let name = if is_only {
            &view.status.owner.name
        } else {
            view.status.id.name()
        };
        table.push(row(view, name, namespaces, how));
    }
    table.render(how.style)
}

fn headings(namespaces: bool, is_wide: bool) -> Vec<&'static str> {
    let mut headings = Vec::new();
    if namespaces {
        headings.push("NAMESPACE");
    }
    headings.extend([
        "NAME",
        "READY",
        "DESIRED",
        "MAX",
        "STATE",
        "REASON",
        "QUEUED",
        "IN-FLIGHT",
        "AGE",
    ]);
    if is_wide {
        headings.extend(["TRAFFIC", "LAST-COLD", "OBJECT", "URL"]);
    }
    headings
}

fn row(view: &FunctionView, name: &str, namespaces: bool, how: ListView) -> Vec<Cell> {
    let status = &view.status;
    let is_wide = how.format == Format::Wide;
    let max = status
        .max
        .map_or_else(|| "-".to_owned(), |max| max.to_string());
    let mut cells = Vec::new();
    if namespaces {
        cells.push(status.id.namespace().into());
    }
    cells.extend([
        name.into(),
        status.ready.to_string().into(),
        status.desired.to_string().into(),
        max.into(),
        Cell::toned(phase_name(status.phase), tone(status.phase)),
        reason(view, is_wide).into(),
        status.queued.to_string().into(),
        status.in_flight.to_string().into(),
        age(how.now, status.since).into(),
    ]);
    if is_wide {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        cells.extend([
            or_dash(view.traffic_percent.map(|percent| format!("{percent}%"))).into(),
            or_dash(view.last_cold_start_ms.map(|ms| format!("{ms:.1}ms"))).into(),
            format!("{}/{}", status.id.kind().to_lowercase(), status.id.name()).into(),
            or_dash(view.urls.first().cloned()).into(),
        ]);
    }
    cells
}

/// Whether it has traffic, replicas, or is not a revision at all.
fn is_current(view: &FunctionView) -> bool {
    let has_traffic = view.traffic_percent.is_none_or(|percent| percent > 0);
    let status = &view.status;
    has_traffic || status.desired > 0 || status.ready > 0 || status.starting > 0
}

fn count_siblings<'a>(views: &[&'a FunctionView]) -> HashMap<&'a ObjectRef, usize> {
    let mut counts = HashMap::new();
    for view in views {
        *counts.entry(&view.status.owner).or_default() += 1;
    }
    counts
}

fn reason(view: &FunctionView, is_whole: bool) -> String {
    let Some(message) = view.status.message.as_deref().map(clean) else {
        return "-".to_owned();
    };
    if is_whole || message.chars().count() <= MAX_REASON {
        return message;
    }
    message.chars().take(MAX_REASON - 1).chain(['…']).collect()
}

pub(super) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Cold => "Cold",
        Phase::Starting => "Starting",
        Phase::Active => "Active",
        Phase::Draining => "Draining",
        Phase::Degraded => "Degraded",
        Phase::Paused => "Paused",
    }
}

pub(super) fn tone(phase: Phase) -> Tone {
    match phase {
        Phase::Cold | Phase::Paused => Tone::Faint,
        Phase::Starting | Phase::Draining => Tone::Busy,
        Phase::Active => Tone::Good,
        Phase::Degraded => Tone::Bad,
    }
}
