//! CustomResourceDefinitions of the front ends' kinds, made from their types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};
use zeron_frontend_keda::crd::{Column, Definition, definitions};

#[cfg(test)]
mod tests;

/// All of them, those of keda.sh first.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    let typed = |manifest| {
        serde_json::from_value(manifest).expect("a definition has the shape that its type wants")
    };
    manifests().into_iter().map(typed).collect()
}

/// The same as they are written to files.
pub fn manifests() -> Vec<Value> {
    definitions().iter().map(assemble).collect()
}

fn assemble(definition: &Definition) -> Value {
    let mut names = json!({
        "kind": definition.kind,
        "listKind": format!("{}List", definition.kind),
        "plural": definition.plural,
        "singular": definition.kind.to_lowercase(),
    });
    if !definition.short_names.is_empty() {
        names["shortNames"] = json!(definition.short_names);
    }
    let scope = match definition.is_namespaced {
        true => "Namespaced",
        false => "Cluster",
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": definition.name(),
            "labels": { "app.kubernetes.io/name": "zeron", "app.kubernetes.io/part-of": "zeron" },
        },
        "spec": {
            "group": definition.group,
            "names": names,
            "scope": scope,
            "versions": [{
                "name": definition.version,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": definition.schema },
                "subresources": { "status": {} },
                "additionalPrinterColumns": definition.columns.iter().map(column).collect::<Vec<_>>(),
            }],
        },
    })
}

fn column(column: &Column) -> Value {
    let mut value = json!({
        "name": column.name,
        "type": column.kind,
        "jsonPath": column.path,
    });
    if column.is_wide {
        value["priority"] = json!(1);
    }
    value
}
