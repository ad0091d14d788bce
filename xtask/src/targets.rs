//! Which tests run when: those that need nothing that Go builds run while it builds.

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::cargo;

/// The package of the whole-system tests.
const WHOLE_SYSTEM: &str = "zeron-tests";

/// How the names of its test files begin that need a cluster, or what Go keeps of the originals.
const LATE: [&str; 4] = ["cluster", "knative", "kubernetes", "scalers"];

/// The test files of the workspace, by their names.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Targets {
    early: Vec<String>,
    late: Vec<String>,
}

impl Targets {
    /// Asks cargo for them.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let output = Command::new(cargo::program())
            .args(["metadata", "--no-deps", "--format-version=1"])
            .current_dir(cargo::root())
            .output()
            .context("cannot run cargo")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        Ok(Self::of(&metadata))
    }

    fn of(metadata: &Value) -> Self {
        let mut targets = Self::default();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let is_whole_system = package["name"] == WHOLE_SYSTEM;
            for name in tests(package) {
                if is_whole_system && !is_late(name) {
                    targets.early.push(name.to_owned());
                } else {
                    targets.late.push(name.to_owned());
                }
            }
        }
        // Files of one name in two packages run together.
        targets.early.retain(|name| !targets.late.contains(name));
        targets.late.sort_unstable();
        targets.late.dedup();
        targets
    }

    /// Arguments of `cargo test` for whole-system tests that need no cluster.
    pub(crate) fn early(&self) -> Vec<&str> {
        named(&self.early).collect()
    }

    /// Arguments for all the others.
    pub(crate) fn late(&self) -> Vec<&str> {
        let parts = ["--lib", "--bins", "--examples"];
        parts.into_iter().chain(named(&self.late)).collect()
    }
}

/// Whether a whole-system test waits for the cluster.
pub(crate) fn is_late(name: &str) -> bool {
    LATE.iter().any(|prefix| name.starts_with(prefix))
}

fn tests(package: &Value) -> impl Iterator<Item = &str> {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .filter(|target| target["kind"][0] == "test")
        .filter_map(|target| target["name"].as_str())
}

fn named(tests: &[String]) -> impl Iterator<Item = &str> {
    tests.iter().flat_map(|name| ["--test", name.as_str()])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_that_need_a_cluster_and_those_of_other_packages_are_late() {
        let target = |kind: &str, name: &str| json!({ "kind": [kind], "name": name });
        let metadata = json!({ "packages": [
            { "name": "zeron-tests", "targets": [
                target("lib", "zeron-tests"), target("test", "kubernetes_faults"),
                target("test", "tls"), target("test", "vectors"), target("test", "idle"),
            ] },
            { "name": "zeron-wire", "targets": [target("lib", "zeron-wire"), target("test", "vectors")] },
        ] });
        let targets = Targets::of(&metadata);
        assert_eq!(targets.early(), ["--test", "tls", "--test", "idle"]);
        let late = [
            "--lib",
            "--bins",
            "--examples",
            "--test",
            "kubernetes_faults",
        ];
        assert_eq!(targets.late(), [&late[..], &["--test", "vectors"]].concat());
    }

    #[test]
    fn every_test_of_this_workspace_has_its_time() {
        let targets = Targets::find().expect("cargo knows the workspace");
        for name in ["idle", "kafka", "event_faults", "scaler_external"] {
            assert!(targets.early.iter().any(|it| it == name), "{targets:?}");
        }
        for name in [
            "knative",
            "kubernetes",
            "cluster",
            "scalers",
            "reconcile",
            "crd_originals",
        ] {
            assert!(targets.late.iter().any(|it| it == name), "{targets:?}");
        }
    }
}
