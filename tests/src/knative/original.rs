//! Knative's own manifests, as its Go module has them: nothing of them is kept here.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::PROGRAMS;
use crate::broker;

const MODULE: &str = "knative.dev/serving";

/// Every object of Knative Serving's own manifests, of the version that tests run.
#[derive(Debug)]
pub struct Original(Vec<Value>);

impl Original {
    /// Reads them from Go's cache of modules; `None`, which is reported as a skip of `test`, where Knative was not built.
    ///
    /// # Panics
    /// When they should be there and cannot be read.
    pub fn get(test: &str) -> Option<Self> {
        if std::env::var_os(PROGRAMS).is_none() {
            broker::skip(test, &format!("{PROGRAMS} names no build of Knative"));
            return None;
        }
        let mut objects = Vec::new();
        collect(&module().join("config/core"), &mut objects);
        assert!(!objects.is_empty(), "{MODULE} has no manifests");
        Some(Self(objects))
    }

    /// All objects of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// The object of this kind and name.
    ///
    /// # Panics
    /// When there is none.
    pub fn object(&self, kind: &str, name: &str) -> &Value {
        let mut found = self.of_kind(kind);
        let found = found.find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("Knative has no {kind} {name}"))
    }
}

fn module() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/knative");
    let output = Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", MODULE])
        .current_dir(source)
        .output()
        .expect("what was built by Go has Go beside it");
    let folder = String::from_utf8_lossy(&output.stdout);
    let folder = folder.trim();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!folder.is_empty(), "Go knows no {MODULE}: {complaint}");
    folder.into()
}

fn collect(folder: &Path, objects: &mut Vec<Value>) {
    let read = |error| panic!("cannot read {}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).unwrap_or_else(read).flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, objects);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let text = std::fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            objects.extend(documents.into_iter().filter(|document| !document.is_null()));
        }
    }
}
