//! Our schemas against the originals', which are read from a folder and never kept here.
//!
//! `ZERON_ORIGINAL_CRDS` is a list of folders (separated by `:`) with the originals' YAML, such as
//! `config/crd/bases` of kedacore/keda and of kedacore/http-add-on.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use serde_json::{Value, json};
use zeron_frontend_keda::crd::{Definition, definitions};
use zeron_manifest::{Sources, read_paths};

/// What we have beyond the originals, and why.
const OURS: &[&str] = &[
    // Deprecated long ago and gone from the newest schema; manifests still have it.
    "httpscaledobjects spec.scaleTargetRef.deployment: only ours",
    // An Addressable, for Knative's eventing.
    "httpscaledobjects status.address: only ours",
    "interceptorroutes status.address: only ours",
    // Fields of the add-on after 0.15.
    "interceptorroutes spec.coldStart.maxPendingRequests: only ours",
    "interceptorroutes spec.coldStart.x-kubernetes-validations: differs",
    "interceptorroutes spec.staticRoutes: only ours",
    // The full JobSpec has 9,000 lines; the Job itself is checked when it is made.
    "scaledjobs spec.jobTargetRef: preserved",
];

#[test]
fn schemas_are_the_originals_field_for_field() {
    let Some(folders) = std::env::var_os("ZERON_ORIGINAL_CRDS") else {
        eprintln!(
            "SKIPPED: schemas_are_the_originals_field_for_field: ZERON_ORIGINAL_CRDS is not set"
        );
        return;
    };
    let paths: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    let originals = documents(&read_paths(&paths));
    let mut differences = Vec::new();
    for ours in definitions() {
        let original = originals
            .iter()
            .find(|document| document["metadata"]["name"] == ours.name().as_str())
            .unwrap_or_else(|| panic!("no original of {}", ours.name()));
        compare(&ours, original, &mut differences);
    }
    let shorter = |d: &String| d.replace(".properties.", ".").replace("[].", "[]");
    let differences: Vec<String> = differences.iter().map(shorter).collect();
    let unexpected: Vec<&String> = differences
        .iter()
        .filter(|d| !OURS.contains(&d.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

fn documents(sources: &Sources) -> Vec<Value> {
    sources.documents.iter().map(|d| d.value.clone()).collect()
}

fn compare(ours: &Definition, original: &Value, differences: &mut Vec<String>) {
    let version = &original["spec"]["versions"][0];
    let names = &original["spec"]["names"];
    assert_eq!(names["kind"], ours.kind);
    assert_eq!(names["plural"], ours.plural);
    let short = names.get("shortNames").cloned().unwrap_or(json!([]));
    assert_eq!(short, json!(ours.short_names));
    assert_eq!(version["name"], ours.version);
    assert_eq!(
        original["spec"]["scope"] == "Namespaced",
        ours.is_namespaced
    );
    assert_eq!(version["subresources"], json!({ "status": {} }));
    let columns: Vec<Value> = ours
        .columns
        .iter()
        .map(|c| match c.is_wide {
            true => json!({"jsonPath": c.path, "name": c.name, "type": c.kind, "priority": 1}),
            false => json!({"jsonPath": c.path, "name": c.name, "type": c.kind}),
        })
        .collect();
    assert_eq!(
        version["additionalPrinterColumns"],
        json!(columns),
        "{}",
        ours.kind
    );
    let theirs = &version["schema"]["openAPIV3Schema"];
    assert_eq!(
        theirs.get("required"),
        ours.schema.get("required"),
        "{}",
        ours.kind
    );
    for part in ["spec", "status"] {
        let at = format!("{} {part}", ours.plural);
        let (a, b) = (
            &ours.schema["properties"][part],
            &theirs["properties"][part],
        );
        walk(&at, a, b, differences);
    }
}

fn walk(at: &str, ours: &Value, theirs: &Value, differences: &mut Vec<String>) {
    if ours.get("x-kubernetes-preserve-unknown-fields").is_some() {
        differences.push(format!("{at}: preserved"));
        return;
    }
    let (Some(a), Some(b)) = (ours.as_object(), theirs.as_object()) else {
        if sorted(ours) != sorted(theirs) {
            differences.push(format!("{at}: differs"));
        }
        return;
    };
    for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
        // Words are our own; a field may be called `description`, too, but none is.
        if key == "description" {
            continue;
        }
        let below = format!("{at}.{key}");
        match (a.get(key), b.get(key)) {
            (Some(x), Some(y)) => walk(&below, x, y, differences),
            (Some(_), None) => differences.push(format!("{below}: only ours")),
            (None, _) => differences.push(format!("{below}: only theirs")),
        }
    }
}

/// Lists whose order means nothing.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
            items.sort();
            json!(items)
        }
        other => other.clone(),
    }
}

#[test]
fn schemas_are_structural() {
    for definition in definitions() {
        structural(definition.kind, &definition.schema);
    }
}

fn structural(at: &str, schema: &Value) {
    for banned in [
        "$ref", "$defs", "allOf", "oneOf", "const", "nullable", "title",
    ] {
        assert!(schema.get(banned).is_none(), "{at} has {banned}");
    }
    let is_either = schema.get("x-kubernetes-int-or-string").is_some();
    assert!(is_either || schema["type"].is_string(), "{at}: {schema}");
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        structural(&format!("{at}.{name}"), inner);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(inner) {
            structural(&format!("{at}[]"), inner);
        }
    }
}
