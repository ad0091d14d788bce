//! JSON schemas as Kubernetes wants them: structural, without references.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The structural schema of a type.
pub(super) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.meta_schema = None;
        s.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().into();
    make_structural(&mut schema);
    schema
}

/// What JSON Schema can say in several ways, in the one way that Kubernetes allows.
fn make_structural(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    map.remove("title");
    map.remove("$defs");
    map.retain(|_, value| !value.is_null());
    drop_null_alternative(map);
    if map.contains_key("x-kubernetes-int-or-string") {
        map.remove("type");
    }
    choices_as_enum(map);
    if map.get("type").is_some_and(|kind| kind == "object")
        && map.contains_key("additionalProperties")
    {
        map.remove("properties");
    }
    if map
        .get("properties")
        .is_some_and(|p| *p == Value::Object(Map::new()))
    {
        map.remove("properties");
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key) {
            make_structural(inner);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(make_structural);
    }
}

/// `T or null` is `T`: a field that may be left out is simply not required.
fn drop_null_alternative(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|v| !v.is_null());
    }
    let is_null = |schema: &Value| schema.get("type").is_some_and(|t| t == "null");
    let inner = match map.get("anyOf") {
        Some(Value::Array(any)) if any.len() == 2 && any.iter().any(is_null) => {
            any.iter().find(|s| !is_null(s)).cloned()
        }
        _ => None,
    };
    if let Some(Value::Object(inner)) = inner {
        map.remove("anyOf");
        for (key, value) in inner {
            map.entry(key).or_insert(value);
        }
    }
}

/// A choice among constants is an enumeration.
fn choices_as_enum(map: &mut Map<String, Value>) {
    let constants = |schema: &Value| match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value.clone()]),
        (None, Some(Value::Array(values))) => Some(values.clone()),
        (None, _) => None,
    };
    if let Some(value) = map.remove("const") {
        map.insert("enum".to_owned(), Value::Array(vec![value]));
    }
    let Some(Value::Array(choices)) = map.get("oneOf") else {
        return;
    };
    let all: Option<Vec<Vec<Value>>> = choices.iter().map(constants).collect();
    if let Some(all) = all {
        map.remove("oneOf");
        map.insert("type".to_owned(), Value::from("string"));
        map.insert("enum".to_owned(), Value::Array(all.concat()));
    }
}
