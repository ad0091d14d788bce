//! `simulate`: what came of it.

use std::fmt::Write;
use std::time::Duration;

use zeron_autoscaler::simulate::{Change, Point, SimulationReport};

use super::{Cell, Style, Table, duration};
use crate::explain::{number, short_cause};

/// Changes that are shown; the rest is in `-o json`.
const CHANGES: usize = 200;
/// Widest bar of the chart.
const BAR: usize = 50;
/// Lines of the chart.
const LINES: u32 = 40;

/// The text of `simulate`.
pub(crate) fn simulation(name: &str, report: &SimulationReport, style: Style) -> String {
    let mut text = format!(
        "{} over {}\n",
        style.strong(name),
        seconds(report.duration_s)
    );
    let mut field = |name: &str, value: String| {
        // Writing to a string cannot fail.
        writeln!(text, "  {name:<22} {value}").ok();
    };
    field("requests", report.requests.to_string());
    field("cold starts", report.cold_starts.to_string());
    field("replica starts", report.replica_starts.to_string());
    field("most replicas", report.max_replicas.to_string());
    field("replica-seconds", number(report.replica_seconds));
    field("at zero for", seconds(report.zero_seconds));
    if report.requests > 0 {
        let waits = &report.waits;
        let [p50, p99, max] = [waits.p50_s, waits.p99_s, waits.max_s].map(seconds);
        field(
            "waited for a replica",
            format!("p50 {p50}, p99 {p99}, longest {max}"),
        );
        field("unfinished", report.unfinished.to_string());
    }
    write!(
        text,
        "\n{}\n{}",
        style.strong("Replicas over time"),
        chart(report, style)
    )
    .ok();
    write!(
        text,
        "\n{}\n{}",
        style.strong("Changes"),
        changes(&report.changes, style)
    )
    .ok();
    text
}

/// One line per stretch of time: the most replicas that were wanted in it.
fn chart(report: &SimulationReport, style: Style) -> String {
    let last = report
        .points
        .iter()
        .rev()
        .find(|p| p.desired + p.ready + p.in_flight + p.queued > 0);
    // What comes after it has come to rest is not worth a line.
    let end_s = last
        .map_or(1.0, |point| point.t_s * 1.1 + 1.0)
        .min(report.duration_s);
    let step = (end_s / f64::from(LINES)).max(1.0);
    let highest = report
        .points
        .iter()
        .map(|p| p.desired)
        .max()
        .unwrap_or(0)
        .max(1);
    let mut table = Table::new(&["TIME", "WANTED", "READY", "REQUESTS", ""]);
    let mut points = report.points.iter().peekable();
    let mut held = (0, 0, 0);
    for line in 0..LINES {
        let (begin, end) = (f64::from(line) * step, f64::from(line + 1) * step);
        if begin >= end_s {
            break;
        }
        let value = |p: &Point| (p.desired, p.ready, p.in_flight + p.queued);
        // What held before goes on until the first point of this stretch.
        while let Some(point) = points.next_if(|point| point.t_s <= begin) {
            held = value(point);
        }
        let mut peak = held;
        while let Some(point) = points.next_if(|point| point.t_s < end) {
            held = value(point);
            peak = (peak.0.max(held.0), peak.1.max(held.1), peak.2.max(held.2));
        }
        let (desired, ready, requests) = peak;
        let length = desired as usize * BAR / highest as usize;
        let bar = "#".repeat(length.max(usize::from(desired > 0)));
        table.push(vec![
            seconds(begin).into(),
            desired.to_string().into(),
            ready.to_string().into(),
            requests.to_string().into(),
            Cell::from(bar),
        ]);
    }
    table.render(style)
}

fn changes(changes: &[Change], style: Style) -> String {
    if changes.is_empty() {
        return "none\n".to_owned();
    }
    let mut table = Table::new(&["TIME", "REPLICAS", "CAUSE", "INPUT"]);
    for change in changes.iter().take(CHANGES) {
        table.push(vec![
            seconds(change.t_s).into(),
            Cell::from(format!("{} -> {}", change.from, change.to)),
            short_cause(change.cause).into(),
            change.winner.as_deref().unwrap_or("-").into(),
        ]);
    }
    let mut text = table.render(style);
    if changes.len() > CHANGES {
        text.push_str(&format!(
            "... and {} more: -o json\n",
            changes.len() - CHANGES
        ));
    }
    text
}

fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
