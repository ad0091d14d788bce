//! JSON Patches of the list of finalizers, which fail when somebody else changed it meanwhile.

use serde_json::{Value, json};

/// Where a finalizer stands in an object's list.
pub(super) fn position(object: &Value, name: &str) -> Option<usize> {
    let finalizers = object["metadata"]["finalizers"].as_array()?;
    finalizers.iter().position(|f| f == name)
}

/// Adds a finalizer.
pub fn added(object: &Value, name: &str) -> Value {
    let version = json!({
        "op": "test",
        "path": "/metadata/resourceVersion",
        "value": object["metadata"]["resourceVersion"],
    });
    let is_empty = object["metadata"]["finalizers"].as_array().is_none();
    let add = match is_empty {
        true => json!({ "op": "add", "path": "/metadata/finalizers", "value": [name] }),
        false => json!({ "op": "add", "path": "/metadata/finalizers/-", "value": name }),
    };
    json!([version, add])
}

/// Takes a finalizer away; `None`: it is not there.
pub fn removed(object: &Value, name: &str) -> Option<Value> {
    let path = format!("/metadata/finalizers/{}", position(object, name)?);
    Some(json!([
        { "op": "test", "path": path, "value": name },
        { "op": "remove", "path": path },
    ]))
}
