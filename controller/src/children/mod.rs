//! The child ScaledObject of an HTTPScaledObject: made where its target has none, so that
//! `kubectl get so` reads as with the original operator.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

/// Value of both annotations.
const TRUE: &str = "true";
/// No child; an existing one is deleted.
const SKIP: &str = "httpscaledobject.keda.sh/skip-scaledobject-creation";
/// The child is let go: it stays when its parent is deleted.
const ORPHAN: &str = "httpscaledobject.keda.sh/orphan-scaledobject";
/// Annotations that are about the parent's own manifest.
const NOT_COPIED: [&str; 1] = ["kubectl.kubernetes.io/last-applied-configuration"];

/// What to do with the child of an HTTPScaledObject.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Make it, or make it so.
    Apply(Box<Value>),
    /// Delete it; only the object with this UID.
    Delete {
        /// The child's UID.
        uid: String,
    },
    /// Take its owner away: this list of owners is left.
    LetGo {
        /// What is left.
        owners: Value,
    },
    /// It cannot be made.
    Refused {
        /// Why, in a sentence.
        message: String,
    },
}

/// What to do. `siblings` are all ScaledObjects of the namespace; `scaler_address` is what the
/// child's trigger names, for people and for a KEDA that may take it over.
pub fn step(parent: &Value, siblings: &[&Value], scaler_address: &str) -> Step {
    let name = text(parent, "/metadata/name");
    let child = siblings
        .iter()
        .copied()
        .find(|s| text(s, "/metadata/name") == name);
    let owned = child.filter(|child| is_owned(child, parent));
    if annotation(parent, ORPHAN) == Some(TRUE) {
        return owned.map_or(Step::Nothing, |child| let_go(child, parent));
    }
    let delete = |child: &Value| Step::Delete {
        uid: text(child, "/metadata/uid").to_owned(),
    };
    let is_deleting = parent.pointer("/metadata/deletionTimestamp").is_some();
    if is_deleting || annotation(parent, SKIP) == Some(TRUE) {
        return owned.map_or(Step::Nothing, delete);
    }
    let target = target_of(parent);
    let is_other = |s: &&&Value| {
        text(s, "/metadata/name") != name
            && s.pointer("/metadata/deletionTimestamp").is_none()
            && target_of(s) == target
    };
    if siblings.iter().any(|s| is_other(&s)) {
        // Its own ScaledObject has taken the child's place.
        return owned.map_or(Step::Nothing, delete);
    }
    match child {
        Some(child) if child.pointer("/metadata/deletionTimestamp").is_some() => Step::Nothing,
        Some(child) if owned.is_none() && !is_adoptable(child, parent) => {
            if target_of(child) == target {
                return Step::Nothing;
            }
            let message = format!(
                "ScaledObject {name} is there already and scales something else: no child is made"
            );
            Step::Refused { message }
        }
        Some(child) => {
            let wanted = desired(parent, scaler_address);
            match contains(child, &wanted) && !has_leftovers(child, &wanted) {
                true => Step::Nothing,
                false => Step::Apply(Box::new(wanted)),
            }
        }
        None => Step::Apply(Box::new(desired(parent, scaler_address))),
    }
}

/// The child as it should be, for server-side apply.
pub fn desired(parent: &Value, scaler_address: &str) -> Value {
    let (name, spec) = (text(parent, "/metadata/name"), &parent["spec"]);
    let (api_version, kind, target) = target_of(parent);
    let mut wanted = json!({
        "scaleTargetRef": { "apiVersion": api_version, "kind": kind, "name": target },
        "pollingInterval": 15,
        "advanced": { "restoreToOriginalReplicaCount": true },
        "triggers": [{
            "type": "external-push",
            "metadata": { "scalerAddress": scaler_address, "httpScaledObject": name },
        }],
    });
    let copied = [
        ("cooldownPeriod", &spec["scaledownPeriod"]),
        ("initialCooldownPeriod", &spec["initialCooldownPeriod"]),
        ("minReplicaCount", &spec["replicas"]["min"]),
        ("maxReplicaCount", &spec["replicas"]["max"]),
    ];
    for (field, value) in copied {
        if !value.is_null() {
            wanted[field] = value.clone();
        }
    }
    json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {
            "name": name,
            "namespace": text(parent, "/metadata/namespace"),
            "labels": copy(parent, "/metadata/labels"),
            "annotations": copy(parent, "/metadata/annotations"),
            "ownerReferences": [owner(parent)],
        },
        "spec": wanted,
    })
}

fn owner(parent: &Value) -> Value {
    json!({
        "apiVersion": "http.keda.sh/v1alpha1",
        "kind": "HTTPScaledObject",
        "name": text(parent, "/metadata/name"),
        "uid": text(parent, "/metadata/uid"),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn copy(parent: &Value, path: &str) -> Value {
    let mut map: Map<String, Value> = parent
        .pointer(path)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    map.retain(|key, _| !NOT_COPIED.contains(&key.as_str()));
    Value::Object(map)
}

/// Whether it was made for this parent, by anybody: the HTTP add-on's operator too.
fn is_adoptable(child: &Value, parent: &Value) -> bool {
    let triggers = child["spec"]["triggers"].as_array();
    let name = &parent["metadata"]["name"];
    let names_parent = |t: &Value| t["metadata"]["httpScaledObject"] == *name;
    let has_owner = child["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| owners.iter().any(|o| o["controller"] == true));
    let is_only_its = triggers.is_some_and(|t| t.len() == 1 && t.iter().all(names_parent));
    is_only_its && !has_owner && target_of(child) == target_of(parent)
}

fn is_owned(child: &Value, parent: &Value) -> bool {
    let uid = &parent["metadata"]["uid"];
    let owners = child["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|o| o["uid"] == *uid && !uid.is_null()))
}

fn let_go(child: &Value, parent: &Value) -> Step {
    let uid = &parent["metadata"]["uid"];
    let owners = child["metadata"]["ownerReferences"].as_array();
    let left = owners.into_iter().flatten().filter(|o| o["uid"] != *uid);
    Step::LetGo {
        owners: left.cloned().collect(),
    }
}

/// Version, kind and name of what an object scales.
fn target_of(object: &Value) -> (String, String, String) {
    target(&object["spec"]["scaleTargetRef"])
}

fn target(reference: &Value) -> (String, String, String) {
    let given = |field: &str| reference[field].as_str().filter(|t| !t.is_empty());
    let name = given("name").or(given("deployment")).or(given("service"));
    (
        given("apiVersion").unwrap_or("apps/v1").to_owned(),
        given("kind").unwrap_or("Deployment").to_owned(),
        name.unwrap_or_default().to_owned(),
    )
}

/// Whether everything in `wanted` is in `actual`; lists must be equal.
fn contains(actual: &Value, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => wanted.iter().all(|(key, value)| {
            let is_nothing = value.as_object().is_some_and(Map::is_empty);
            is_nothing || actual.get(key).is_some_and(|a| contains(a, value))
        }),
        (actual, wanted) => actual == wanted,
    }
}

/// Whether we once set a field that is not wanted any more: applying takes it away.
fn has_leftovers(child: &Value, wanted: &Value) -> bool {
    let managers = child["metadata"]["managedFields"].as_array();
    let is_ours = |m: &&Value| {
        m["manager"] == "zeron" && m["operation"] == "Apply" && m["subresource"].is_null()
    };
    let mut ours = managers.into_iter().flatten().filter(is_ours);
    ours.any(|m| is_unwanted(&m["fieldsV1"], wanted))
}

/// Fields are named `f:NAME`; other keys select entries of lists.
fn is_unwanted(fields: &Value, wanted: &Value) -> bool {
    let fields = fields.as_object().into_iter().flatten();
    let mut named = fields.filter_map(|(key, inner)| Some((key.strip_prefix("f:")?, inner)));
    named.any(|(name, inner)| match wanted.get(name) {
        Some(wanted) => is_unwanted(inner, wanted),
        None => true,
    })
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn annotation<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object["metadata"]["annotations"][name].as_str()
}
