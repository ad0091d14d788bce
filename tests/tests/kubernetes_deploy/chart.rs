//! The chart and what is generated from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::template::render;

/// `deploy/` of this repository.
pub(crate) fn folder(path: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().join("deploy").join(path)
}

/// Documents of a YAML file.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.into_iter().filter(|d| !d.is_null()).collect()
}

fn file(path: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Files of a folder by name, those that end with `.yaml`.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml");
    let named = entries.filter(is_yaml).map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    named.collect()
}

/// Every template with the chart's defaults and `values` over them, in `namespace`.
pub(crate) fn rendered(values: &Value, namespace: &str) -> BTreeMap<String, String> {
    let chart = folder("helm/zeron");
    let described = file(&chart.join("Chart.yaml"));
    let mut all = file(&chart.join("values.yaml"));
    merge(&mut all, values);
    let root = json!({
        "Values": all,
        "Release": { "Namespace": namespace, "Name": "zeron" },
        "Chart": { "AppVersion": described["appVersion"] },
    });
    let templates = files(&chart.join("templates"));
    let render = |(name, text): (String, String)| (name, render(&text, &root));
    templates.into_iter().map(render).collect()
}

/// All objects of the chart.
pub(crate) fn objects(values: &Value, namespace: &str) -> Vec<Value> {
    let rendered = rendered(values, namespace);
    rendered.values().flat_map(|text| documents(text)).collect()
}

fn merge(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(value), Value::Object(over)) => {
            for (key, over) in over {
                merge(value.entry(key.clone()).or_insert(Value::Null), over);
            }
        }
        (value, over) => *value = over.clone(),
    }
}

/// Compares a file of the repository with what it should say; with `ZERON_UPDATE=1` writes it.
pub(crate) fn is_in_step(path: &Path, wanted: &str) {
    if std::env::var_os("ZERON_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, wanted).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is not what it is generated from: run `ZERON_UPDATE=1 cargo test -p zeron-tests --test kubernetes_deploy`",
        path.display()
    );
}

/// Kind, namespace and name.
pub(crate) fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    format!(
        "{} {}/{}",
        text(&object["kind"]),
        text(&metadata["namespace"]),
        text(&metadata["name"])
    )
}
