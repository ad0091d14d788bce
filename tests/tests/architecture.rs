//! The arrows between crates (CONTRIBUTING.md), read from `cargo metadata`.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may know of the others, directly, outside its own tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("zeron-core", &[]),
    ("zeron-pages", &[]),
    ("zeron-wire", &["zeron-core"]),
    ("zeron-external-scaler-proto", &[]),
    ("zeron-activator", &["zeron-core", "zeron-wire"]),
    (
        "zeron-autoscaler",
        &["zeron-core", "zeron-wire", "zeron-external-scaler-proto"],
    ),
    (
        "zeron-scalers",
        &["zeron-core", "zeron-external-scaler-proto"],
    ),
    ("zeron-manifest", &["zeron-core"]),
    ("zeron-frontend-knative", &["zeron-core", "zeron-manifest"]),
    ("zeron-frontend-keda", &["zeron-core", "zeron-manifest"]),
    (
        "zeron-catalog",
        &[
            "zeron-core",
            "zeron-manifest",
            "zeron-frontend-knative",
            "zeron-frontend-keda",
        ],
    ),
    ("zeron-backend-process", &["zeron-core"]),
    ("zeron-backend-kubernetes", &["zeron-core"]),
    (
        "zeron-controller",
        &[
            "zeron-core",
            "zeron-manifest",
            "zeron-frontend-knative",
            "zeron-frontend-keda",
            "zeron-catalog",
            "zeron-backend-kubernetes",
        ],
    ),
    ("zeron-example-function", &[]),
    ("zeron-example-consumer", &["zeron-example-function"]),
];

/// Crates at the top of the house: they may know everything below.
const TOPS: &[&str] = &["zeron", "zeron-bench", "zeron-tests", "xtask"];

/// What must not be in a crate, however far down.
const WITHOUT: &[(&str, &[&str])] = &[
    ("zeron-core", &["tokio", "hyper", "kube", "rdkafka"]),
    ("zeron-wire", &["hyper", "kube", "rdkafka"]),
    (
        "zeron-activator",
        &["kube", "rdkafka", "zeron-autoscaler", "redb", "axum"],
    ),
    // It asks queue-proxies for their statistics by HTTP, and serves nothing.
    (
        "zeron-autoscaler",
        &["kube", "rdkafka", "axum", "zeron-activator"],
    ),
    (
        "zeron-frontend-knative",
        &["tokio", "hyper", "kube", "rdkafka"],
    ),
    (
        "zeron-frontend-keda",
        &["tokio", "hyper", "kube", "rdkafka"],
    ),
    ("zeron-backend-process", &["kube", "rdkafka", "hyper"]),
    ("zeron-example-function", &["tokio", "rdkafka", "hyper"]),
    // They are built from source: minutes, and tools that the first command shall not need.
    ("zeron", &["rdkafka-sys", "openssl-sys", "libz-sys"]),
];

/// Banned for everybody: a second TLS provider.
const NOWHERE: &[&str] = &["ring", "openssl", "native-tls"];

struct Workspace {
    members: BTreeMap<String, Value>,
}

impl Workspace {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args([
                "metadata",
                "--format-version",
                "1",
                "--no-deps",
                "--offline",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap().iter();
        let named = packages.map(|p| (p["name"].as_str().unwrap().to_owned(), p.clone()));
        Self {
            members: named.collect(),
        }
    }

    /// Members that `name` needs, its tests aside.
    fn arrows(&self, name: &str) -> BTreeSet<String> {
        let dependencies = self.members[name]["dependencies"]
            .as_array()
            .unwrap()
            .iter();
        dependencies
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .filter(|dependency| self.members.contains_key(dependency))
            .collect()
    }
}

/// Everything that a build of `package` contains, with its default features.
fn contents(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--package",
            package,
            "--edges",
            "normal",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_know_only_those_below_them() {
    let workspace = Workspace::read();
    for (name, allowed) in ARROWS {
        for arrow in workspace.arrows(name) {
            assert!(
                allowed.contains(&arrow.as_str()),
                "{name} -> {arrow} is no arrow of this house"
            );
        }
    }
}

#[test]
fn every_crate_has_its_place() {
    let places: BTreeSet<&str> = ARROWS
        .iter()
        .map(|(name, _)| *name)
        .chain(TOPS.iter().copied())
        .collect();
    let workspace = Workspace::read();
    let members: BTreeSet<&str> = workspace.members.keys().map(String::as_str).collect();
    assert_eq!(members, places, "a crate is missing here, or gone");
}

/// The bench runs the tests' servers: one harness for each.
const SERVERS: (&str, &str) = ("zeron-bench", "zeron-tests");

#[test]
fn nobody_depends_on_the_top() {
    let workspace = Workspace::read();
    for name in workspace.members.keys() {
        for arrow in workspace.arrows(name) {
            assert!(
                !TOPS.contains(&arrow.as_str()) || (name.as_str(), arrow.as_str()) == SERVERS,
                "{name} -> {arrow}: nothing stands above it"
            );
        }
    }
}

#[test]
fn crates_build_without_what_is_not_their_business() {
    for (name, banned) in WITHOUT {
        let contents = contents(name);
        for package in *banned {
            assert!(!contents.contains(*package), "{name} contains {package}");
        }
    }
}

#[test]
fn there_is_one_tls_provider() {
    let contents = contents("zeron");
    for package in NOWHERE {
        assert!(!contents.contains(*package), "zeron contains {package}");
    }
}
