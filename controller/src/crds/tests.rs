//! What is applied to a cluster is what the types say.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn as_value(name: &str) -> Value {
    let all = custom_resource_definitions();
    let found = all
        .iter()
        .find(|c| c.metadata.name.as_deref() == Some(name));
    serde_json::to_value(found.unwrap()).unwrap()
}

#[test]
fn all_six_kinds_are_there() {
    let names: Vec<String> = custom_resource_definitions()
        .into_iter()
        .map(|c| c.metadata.name.unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "scaledobjects.keda.sh",
            "scaledjobs.keda.sh",
            "triggerauthentications.keda.sh",
            "clustertriggerauthentications.keda.sh",
            "httpscaledobjects.http.keda.sh",
            "interceptorroutes.http.keda.sh",
        ]
    );
}

#[test]
fn nothing_of_a_schema_is_lost_on_the_way() {
    for definition in definitions() {
        let assembled = as_value(&definition.name());
        let schema = &assembled["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert_eq!(
            numbers_as_floats(schema),
            numbers_as_floats(&definition.schema)
        );
    }
}

/// Bounds are floats in k8s-openapi; `1` and `1.0` are the same bound.
fn numbers_as_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(numbers_as_floats).collect(),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| (key.clone(), numbers_as_floats(value));
            Value::Object(map.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn short_names_and_scope_are_those_that_people_type() {
    let so = as_value("scaledobjects.keda.sh");
    assert_eq!(so["spec"]["names"]["shortNames"], json!(["so"]));
    assert_eq!(so["spec"]["scope"], "Namespaced");
    let cta = as_value("clustertriggerauthentications.keda.sh");
    assert_eq!(cta["spec"]["scope"], "Cluster");
    let route = as_value("interceptorroutes.http.keda.sh");
    assert!(route["spec"]["names"].get("shortNames").is_none());
}
