//! Whether every activator that may serve requests is heard.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::activator::{Activator, Link};
use super::{Expected, HubConfig};
use crate::message::Coverage;

/// Names in a message; of more only the number is said.
const NAMED: usize = 3;

/// What keeps the load from being known.
pub(super) fn coverage(
    activators: &BTreeMap<String, Activator>,
    expected: &Expected,
    parted: &BTreeSet<String>,
    config: &HubConfig,
    now: Instant,
) -> Coverage {
    let mut unheard: BTreeSet<&str> = BTreeSet::new();
    let mut gone = BTreeSet::new();
    let mut is_any_heard = false;
    for (name, activator) in activators.iter().filter(|(_, it)| !it.has_parted) {
        let is_silent = activator
            .reported_at
            .is_none_or(|at| now.saturating_duration_since(at) >= config.silence);
        match activator.link {
            Link::Connected { .. } if !is_silent => is_any_heard = true,
            Link::Connected { .. } | Link::Lost => {
                unheard.insert(name);
            }
            Link::Gone { .. } => {
                gone.insert(name.as_str());
            }
        }
    }
    let missing = expected.iter().flatten().map(String::as_str);
    unheard
        .extend(missing.filter(|name| !activators.contains_key(*name) && !parted.contains(*name)));
    let message = if !unheard.is_empty() {
        format!("not heard: {}", list(&unheard))
    } else if !gone.is_empty() {
        format!("gone without a goodbye: {}", list(&gone))
    } else if !is_any_heard {
        "no activator is connected".to_owned()
    } else {
        return Coverage::Complete;
    };
    Coverage::Partial { message }
}

fn list(names: &BTreeSet<&str>) -> String {
    let named: Vec<&str> = names.iter().copied().take(NAMED).collect();
    let rest = names.len().saturating_sub(NAMED);
    let named = named.join(", ");
    if rest == 0 {
        named
    } else {
        format!("{named} and {rest} more")
    }
}
