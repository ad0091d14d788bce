//! The status of a TriggerAuthentication, of either kind: the names of those that use it, as KEDA
//! writes them.

use serde_json::{Value, json};

use super::input::Observation;
use crate::projection::ObjectKind;

pub(super) fn status(object: &Value, seen: &Observation<'_>) -> Value {
    let old = &object["status"];
    json!({
        "scaledobjects": names(&old["scaledobjects"], seen, &ObjectKind::ScaledObject),
        "scaledjobs": names(&old["scaledjobs"], seen, &ObjectKind::ScaledJob),
    })
}

/// Those that stay keep their place, new ones come last. `None` instead of none: absent.
fn names(old: &Value, seen: &Observation<'_>, kind: &ObjectKind) -> Option<String> {
    let used_by = seen.report.used_by.iter().filter(|key| key.kind == *kind);
    let users: Vec<&str> = used_by.map(|key| &*key.name).collect();
    let mut names: Vec<&str> = Vec::with_capacity(users.len());
    let before = old.as_str().unwrap_or_default().split(',');
    let kept = before.filter(|name| users.contains(name));
    // Objects of several namespaces may have one name, which KEDA writes once.
    for name in kept.chain(users.iter().copied()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join(","))
}
