//! Schemas and readers know the same fields.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use zeron_frontend_keda::crd::{Definition, definitions};
use zeron_frontend_keda::{
    Dialect, HttpScaledObject, InterceptorRoute, ScaledObject, TriggerAuthentication,
};
use zeron_manifest::{ConfigSet, Document, Header, Problems, Scope};

/// A name that no schema has.
const CANARY: &str = "zzNobody";

/// Reads an object; the paths of fields that the reader does not know. `None`: no reader.
fn unknown_fields(object: &Value) -> Option<BTreeSet<String>> {
    let document = Document::from_json("object", object.clone());
    let problems = Problems::new(false);
    let header = Header::read(&document, &problems).unwrap();
    {
        let scope = Scope::new(&document, &problems, Some(header.object.clone()));
        let config = ConfigSet::default();
        match header.object.kind.as_str() {
            "ScaledObject" => drop(ScaledObject::read(&scope, &header, Dialect::Keda2)),
            "TriggerAuthentication" | "ClusterTriggerAuthentication" => {
                drop(TriggerAuthentication::read(&scope, &header, &config));
            }
            "HTTPScaledObject" => drop(HttpScaledObject::read(&scope, &header)),
            "InterceptorRoute" => drop(InterceptorRoute::read(&scope, &header, &config)),
            _ => return None,
        }
    }
    let unknown = problems.into_sorted();
    let unknown = unknown.iter().filter(|p| p.message == "unknown field");
    Some(unknown.map(|p| p.field.clone()).collect())
}

/// An object in which every field of the schema is given.
fn full(definition: &Definition) -> Value {
    json!({
        "apiVersion": definition.api_version(),
        "kind": definition.kind,
        "metadata": { "name": "a", "namespace": "default" },
        "spec": example("spec", &definition.schema["properties"]["spec"]),
    })
}

fn example(name: &str, schema: &Value) -> Value {
    if let Some(choices) = schema["enum"].as_array() {
        return choices[0].clone();
    }
    match schema["type"].as_str() {
        Some("integer") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([example(name, &schema["items"])]),
        Some("object") if schema.get("additionalProperties").is_some() => json!({ "key": "1" }),
        Some("object") => {
            let fields = schema["properties"].as_object();
            let field = |(name, inner): (&String, &Value)| (name.clone(), example(name, inner));
            Value::Object(
                fields
                    .into_iter()
                    .flatten()
                    .map(field)
                    .collect::<Map<_, _>>(),
            )
        }
        _ if name == "window" || name == "granularity" => json!("1s"),
        _ if name == "kind" => json!("Deployment"),
        _ if name == "apiVersion" => json!("apps/v1"),
        _ => json!("1"),
    }
}

#[test]
fn every_field_of_the_schemas_is_known_to_the_readers() {
    for definition in definitions() {
        let Some(unknown) = unknown_fields(&full(&definition)) else {
            continue;
        };
        assert!(unknown.is_empty(), "{}: {unknown:?}", definition.kind);
    }
}

#[test]
fn no_field_is_known_to_the_readers_that_the_schemas_lack() {
    let names = all_names();
    for definition in definitions() {
        let object = full(&definition);
        let mut places = Vec::new();
        mappings(
            "spec",
            &definition.schema["properties"]["spec"],
            &mut places,
        );
        for (place, known) in places {
            let mut changed = object.clone();
            let Some(mapping) = at(&mut changed, &place) else {
                panic!("{place} is not in the example");
            };
            for name in names.iter().filter(|name| !known.contains(*name)) {
                mapping.insert(name.clone(), json!("1"));
            }
            mapping.insert(CANARY.to_owned(), json!("1"));
            let Some(unknown) = unknown_fields(&changed) else {
                continue;
            };
            // What has no effect here is not read any deeper.
            if !unknown.contains(&format!("{place}.{CANARY}")) {
                continue;
            }
            for name in names.iter().filter(|name| !known.contains(*name)) {
                let path = format!("{place}.{name}");
                assert!(unknown.contains(&path), "{}: {path}", definition.kind);
            }
        }
    }
}

/// Every field name of every schema.
fn all_names() -> BTreeSet<String> {
    let mut places = Vec::new();
    for definition in definitions() {
        mappings(
            "spec",
            &definition.schema["properties"]["spec"],
            &mut places,
        );
    }
    places.into_iter().flat_map(|(_, names)| names).collect()
}

/// The path of every mapping with fixed fields, and their names.
fn mappings(path: &str, schema: &Value, places: &mut Vec<(String, BTreeSet<String>)>) {
    if let Some(fields) = schema["properties"].as_object() {
        places.push((path.to_owned(), fields.keys().cloned().collect()));
        for (name, inner) in fields {
            mappings(&format!("{path}.{name}"), inner, places);
        }
    }
    if schema.get("items").is_some() {
        mappings(&format!("{path}[0]"), &schema["items"], places);
    }
}

/// The mapping at a path such as `spec.triggers[0]`.
fn at<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Map<String, Value>> {
    let pointer = format!("/{}", path.replace('.', "/").replace("[0]", "/0"));
    value.pointer_mut(&pointer)?.as_object_mut()
}
