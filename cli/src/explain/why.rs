//! `why`: the newest decision of a function in words.

use std::fmt::Write;

use zeron_core::decision::{Ask, Rule};
use zeron_core::metric::MetricValue;
use zeron_core::{Decision, Timestamp};

use super::rules::{ahead, cause, sentence, zero_wait};
use super::{number, replicas, requests};
use crate::control::FunctionView;
use crate::output::{Style, age, clean, clock};

/// The text of `why`. `decision` is the newest one.
pub(crate) fn why(
    view: &FunctionView,
    decision: Option<&Decision>,
    style: Style,
    now: Timestamp,
) -> String {
    let mut text = heading(view, style);
    let Some(decision) = decision else {
        text.push_str("Nothing has been decided for it yet.\n");
        return text;
    };
    // Writing to a string cannot fail.
    writeln!(text, "{}", verdict(decision, now)).ok();
    writeln!(text, "\n{}", style.strong("What was asked for")).ok();
    if decision.asks.is_empty() {
        writeln!(text, "  nothing: no input asked for replicas").ok();
    }
    for (index, ask) in decision.asks.iter().enumerate() {
        let mark = if decision.winner == Some(index) {
            style.strong(" <- this won")
        } else {
            String::new()
        };
        writeln!(text, "  {}{mark}", ask_line(ask, now)).ok();
    }
    if decision.winner.is_none() && !decision.asks.is_empty() {
        let decided = if decision.rules.is_empty() {
            "no input asks for replicas"
        } else {
            "no input won: a rule decided"
        };
        writeln!(text, "  {decided}").ok();
    }
    if !decision.rules.is_empty() {
        writeln!(
            text,
            "\n{}",
            style.strong("Rules that applied, in their order")
        )
        .ok();
    }
    for rule in &decision.rules {
        writeln!(text, "  {}", sentence(rule, now)).ok();
    }
    writeln!(text, "\n{}", style.strong("Zero")).ok();
    writeln!(text, "  {}", zero(view, decision, now)).ok();
    text
}

/// Why a function has no replica that could say anything, in one paragraph.
pub(crate) fn absence(view: &FunctionView, decision: Option<&Decision>, now: Timestamp) -> String {
    let id = &view.status.id;
    let is_jobs = view.is_of_jobs();
    let writer = match is_jobs {
        true => "Job whose pods could have written lines",
        false => "replica that could write lines",
    };
    let mut text = format!("{} ({id}) has no {writer}.", view.status.owner.name);
    if let Some(message) = &view.status.message {
        text.push_str(&format!(" {}.", clean(message)));
    }
    match decision {
        Some(decision) => {
            text.push_str(&format!(" {}", verdict(decision, now)));
            if !is_jobs {
                text.push_str(&format!(" {}", zero(view, decision, now)));
            }
        }
        None => text.push_str(" Nothing has been decided for it yet."),
    }
    text
}

fn heading(view: &FunctionView, style: Style) -> String {
    let status = &view.status;
    let name = style.strong(&status.owner.name);
    let mut text = format!(
        "{name} ({}) has {} ready and {} wanted; {} in flight, {} waiting.\n",
        status.id,
        replicas(status.ready),
        status.desired,
        requests(status.in_flight),
        status.queued,
    );
    if let Some(message) = &status.message {
        text.push_str(&format!("{}\n", clean(message)));
    }
    text
}

fn verdict(decision: &Decision, now: Timestamp) -> String {
    let (from, to) = (decision.current, decision.desired);
    let change = match from.cmp(&to) {
        std::cmp::Ordering::Less => format!("up from {from} to {to}"),
        std::cmp::Ordering::Greater => format!("down from {from} to {to}"),
        std::cmp::Ordering::Equal => format!("stay at {to}"),
    };
    format!(
        "Decided {} ago, at {}, because {}: {change}.",
        age(now, decision.at),
        clock(decision.at),
        cause(decision.cause)
    )
}

fn ask_line(ask: &Ask, now: Timestamp) -> String {
    let of = format!("{} of {}", clean(&ask.metric), ask.source);
    match &ask.value {
        MetricValue::Known { value, at } => {
            let wish = ask.replicas.map_or_else(|| "nothing".to_owned(), replicas);
            let active = if ask.is_active { "" } else { ", not active" };
            format!(
                "{of}: {} ({} old), {} per replica -> asks for {wish}{active}",
                number(*value),
                age(now, *at),
                number(ask.target)
            )
        }
        MetricValue::Unknown { reason, since } => {
            let wish = match ask.replicas {
                Some(count) => format!("; asks for {} all the same", replicas(count)),
                None => String::new(),
            };
            format!(
                "{of}: unknown for {}: {}{wish}",
                age(now, *since),
                clean(&reason.message)
            )
        }
    }
}

/// When it can go to zero next, or what keeps it from that.
fn zero(view: &FunctionView, decision: &Decision, now: Timestamp) -> String {
    let status = &view.status;
    let is_jobs = |rule: &Rule| matches!(rule, Rule::Jobs { .. });
    if decision.rules.iter().any(is_jobs) {
        return "Jobs end by themselves: none is taken away.".to_owned();
    }
    if decision.desired == 0 {
        return match (status.ready, status.starting) {
            (0, 0) => "It is at zero. A request or an active trigger wakes it.".to_owned(),
            _ => "It is on its way to zero.".to_owned(),
        };
    }
    let waits = decision.rules.iter().filter_map(|rule| match rule {
        Rule::ZeroNotBefore { wait, until } => Some((*until, *wait)),
        _ => None,
    });
    if let Some((until, wait)) = waits.max_by_key(|(until, _)| *until) {
        return format!(
            "It can go to zero at {} at the earliest ({}), if nothing happens until then: {}.",
            clock(until),
            ahead(now, until),
            zero_wait(wait)
        );
    }
    let keeps = decision.rules.iter().find(|rule| keeps_up(rule));
    if let Some(rule) = keeps {
        let reason = sentence(rule, now);
        let reason = reason
            .trim_start_matches("not down: ")
            .trim_start_matches("not to zero: ");
        return format!("It does not go to zero now: {reason}.");
    }
    let active: Vec<String> = decision
        .asks
        .iter()
        .filter(|ask| ask.is_active)
        .map(|ask| format!("{} of {}", clean(&ask.metric), ask.source))
        .collect();
    match active.as_slice() {
        [] => "It can go to zero once every window and cooldown has passed.".to_owned(),
        some => format!(
            "It was kept up by {}. Windows and cooldowns begin when that ends.",
            some.join(" and ")
        ),
    }
}

fn keeps_up(rule: &Rule) -> bool {
    match rule {
        Rule::Min { min, .. } => *min > 0,
        Rule::Idle { replicas } | Rule::Fixed { replicas } => *replicas > 0,
        Rule::Paused { at } => *at > 0,
        Rule::ScaleToZeroDisabled
        | Rule::Busy { .. }
        | Rule::Unknown { .. }
        | Rule::Fallback { .. }
        | Rule::ScaleInPaused
        | Rule::ExternalWriter
        | Rule::Stabilization { .. }
        | Rule::ScaleDownDelay { .. } => true,
        Rule::Max { .. }
        | Rule::Conflict { .. }
        | Rule::InitialScale { .. }
        | Rule::ActivationScale { .. }
        | Rule::Panic { .. }
        | Rule::ScaleUpRate { .. }
        | Rule::ScaleDownRate { .. }
        | Rule::Behavior { .. }
        | Rule::Tolerance
        | Rule::ZeroNotBefore { .. }
        | Rule::Formula { .. }
        | Rule::FormulaFailed { .. }
        | Rule::ScaleOutPaused
        | Rule::Jobs { .. }
        | Rule::UnknownJobs { .. }
        | Rule::Unreachable => false,
    }
}
