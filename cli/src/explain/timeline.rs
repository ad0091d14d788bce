//! `timeline`: one line per decision.

use zeron_core::Decision;
use zeron_core::metric::MetricValue;

use super::number;
use super::rules::{short, short_cause};
use crate::output::{Cell, Style, Table, clean, clock};

/// Which decisions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that changed the count.
    Changes,
    /// All of them.
    All,
}

impl Scope {
    /// Whether a decision is listed.
    pub(crate) fn includes(self, decision: &Decision) -> bool {
        self == Self::All || decision.current != decision.desired
    }
}

/// Lists decisions, oldest first.
pub(crate) fn timeline(decisions: &[impl AsRef<Decision>], scope: Scope, style: Style) -> String {
    let mut table = Table::new(&["TIME", "REPLICAS", "READY", "CAUSE", "REASON"]);
    let decisions = decisions.iter().map(AsRef::as_ref);
    let listed = decisions.filter(|decision| scope.includes(decision));
    let mut is_empty = true;
    for decision in listed {
        is_empty = false;
        table.push(vec![
            clock(decision.at).into(),
            Cell::from(format!("{} -> {}", decision.current, decision.desired)),
            decision.ready.to_string().into(),
            short_cause(decision.cause).into(),
            reason(decision).into(),
        ]);
    }
    if is_empty {
        return match scope {
            Scope::Changes => "No decision has changed the count yet.\n".to_owned(),
            Scope::All => "Nothing has been decided yet.\n".to_owned(),
        };
    }
    table.render(style)
}

/// The winner with its numbers, then the rules.
pub(crate) fn reason(decision: &Decision) -> String {
    let mut parts = Vec::new();
    if let Some(ask) = decision.winner.and_then(|winner| decision.asks.get(winner)) {
        let metric = clean(&ask.metric);
        parts.push(match &ask.value {
            MetricValue::Known { value, .. } => {
                format!(
                    "{metric} {} at {} per replica",
                    number(*value),
                    number(ask.target)
                )
            }
            MetricValue::Unknown { .. } => format!("{metric} unknown"),
        });
    }
    if decision.winner.is_none() && decision.rules.is_empty() {
        let unknown = decision.asks.iter().filter(|ask| ask.replicas.is_none());
        parts.extend(unknown.map(|ask| format!("{} unknown", clean(&ask.metric))));
    }
    parts.extend(decision.rules.iter().map(short));
    if parts.is_empty() {
        parts.push("nothing asks for replicas".to_owned());
    }
    parts.join(", ")
}
