//! JSON merge patches (RFC 7396) of what changed.

use serde_json::{Map, Value};

/// The fields of `wanted` that differ from `old`, as a merge patch; `None`: none do. A field that
/// is null in `wanted` is to be absent; fields that `wanted` does not name are left alone.
pub(super) fn changed_fields(old: &Value, wanted: &Value) -> Option<Value> {
    let Value::Object(wanted) = wanted else {
        return None;
    };
    let mut patch = Map::new();
    for (name, value) in wanted {
        let before = old.get(name).filter(|v| !v.is_null());
        match (before, value) {
            (None, Value::Null) => {}
            (Some(Value::Object(before)), Value::Object(after)) => {
                let inner = between(before, after);
                if !inner.is_empty() {
                    patch.insert(name.clone(), Value::Object(inner));
                }
            }
            (Some(before), after) if before == after => {}
            (_, after) => {
                patch.insert(name.clone(), after.clone());
            }
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// What turns one mapping into another: entries that are gone become null.
fn between(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in after {
        if before.get(name) != Some(value) {
            patch.insert(name.clone(), value.clone());
        }
    }
    patch
}

/// Applies a merge patch.
pub(super) fn apply(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    for (name, inner) in patch {
        let Value::Object(map) = &mut *value else {
            continue;
        };
        if inner.is_null() {
            map.remove(name);
        } else {
            apply(map.entry(name.clone()).or_insert(Value::Null), inner);
        }
    }
}
