//! The chart through Helm itself: it makes what the kustomizations say, and refuses wrong values by their field.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use zeron_tests::broker::skip;

use super::chart::{documents, folder, name, objects};

/// Names the program (`cargo xtask cluster helm`).
const GIVEN: &str = "ZERON_TEST_HELM";

/// The oldest Kubernetes of the chart is older, so that what it asks of one is checked too.
const KUBERNETES: &str = "--kube-version=1.34.0";

const NAMESPACE: &str = "zeron-system";

struct Helm {
    program: PathBuf,
    folder: TempDir,
}

impl Helm {
    fn get(test: &str) -> Option<Self> {
        let Some(program) = std::env::var_os(GIVEN) else {
            skip(
                &format!("kubernetes_deploy::helm::{test}"),
                &format!("{GIVEN} names no Helm"),
            );
            return None;
        };
        Some(Self {
            program: program.into(),
            folder: tempfile::tempdir().unwrap(),
        })
    }

    /// What it prints, or what it complains of.
    fn run(&self, arguments: &[&str], values: &Value) -> Result<String, String> {
        let file = self.folder.path().join("values.json");
        std::fs::write(&file, values.to_string()).unwrap();
        let mut command = Command::new(&self.program);
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(home, self.folder.path().join(home));
        }
        let output = command
            .args(arguments)
            .args([KUBERNETES, "--namespace", NAMESPACE, "--values"])
            .arg(file)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, complaints) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() {
            Ok(said)
        } else {
            Err(said + &complaints)
        }
    }

    fn lint(&self, values: &Value) -> Result<String, String> {
        self.run(&["lint", "--strict", &chart()], values)
    }

    /// Its objects by kind, namespace and name.
    fn objects(&self, values: &Value) -> BTreeMap<String, Value> {
        let arguments = ["template", "zeron", &chart(), "--include-crds"];
        let text = self.run(&arguments, values);
        by_name(documents(&text.unwrap_or_else(|error| panic!("{error}"))))
    }
}

fn chart() -> String {
    folder("helm/zeron").display().to_string()
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let count = objects.len();
    let named: BTreeMap<_, _> = objects.into_iter().map(|it| (name(&it), it)).collect();
    assert_eq!(named.len(), count, "an object is made twice");
    named
}

/// What the files of these kustomizations say.
fn kustomized(paths: &[&str]) -> Vec<Value> {
    let of = |path: &&str| {
        let folder = folder("kustomize").join(path);
        let text = std::fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
        let resources = documents(&text)[0]["resources"].clone();
        let files = resources.as_array().cloned().unwrap_or_default();
        files
            .iter()
            .map(|file| folder.join(file.as_str().unwrap()))
            .flat_map(|file| documents(&std::fs::read_to_string(file).unwrap()))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

fn assert_same(made: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>) {
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(made), names(wanted));
    for (name, object) in made {
        assert_eq!(*object, wanted[name], "{name}");
    }
}

/// Another value than the default everywhere.
fn full() -> Value {
    json!({
        "image": { "repository": "registry.example/zeron", "tag": "9", "pullPolicy": "Always", "pullSecrets": ["key"] },
        "podAnnotations": { "sidecar.istio.io/inject": "false" },
        "manage": "labelled",
        "kedaNamespace": "keda",
        "watchNamespaces": ["shop", "work"],
        "clusterObjectNamespace": "shared",
        "allowCatchAll": ["shop"],
        "meshCompatibilityMode": "enabled",
        "secretNamespaces": [{ "namespace": "shop", "names": ["kafka"] }, { "namespace": "work" }],
        "wake": { "mode": "namespaces", "namespaces": ["shop"], "maxReplicas": 50 },
        "extraTargets": [{ "apiGroups": ["argoproj.io"], "resources": ["rollouts"] }],
        "activator": {
            "replicas": 3,
            "autoscaling": { "enabled": true, "minReplicas": 3, "maxReplicas": 7, "cpuUtilization": 50 },
            "trustedProxies": ["10.0.0.0/8"], "serviceType": "LoadBalancer", "drainSeconds": 60,
            "resources": { "requests": { "cpu": "1" } }, "nodeSelector": { "a": "b" },
            "tolerations": [{ "operator": "Exists" }],
        },
        "autoscaler": {
            "replicas": 3, "shards": 8, "kubeletMetrics": true, "resources": { "requests": { "cpu": "1" } },
            "nodeSelector": { "a": "b" }, "tolerations": [{ "operator": "Exists" }],
        },
        "externalScaler": { "enabled": true, "kedaNamespace": "events", "tlsSecret": "keda-tls" },
        "controller": {
            "replicas": 3, "aliasNamespace": "keda", "resources": { "requests": { "cpu": "1" } },
            "nodeSelector": { "a": "b" }, "tolerations": [{ "operator": "Exists" }],
        },
        "monitoring": { "enabled": true, "labels": { "release": "prometheus" } },
    })
}

#[test]
fn the_chart_passes_strict_lint_with_default_and_full_values() {
    let Some(helm) = Helm::get("the_chart_passes_strict_lint") else {
        return;
    };
    for values in [json!({}), full()] {
        helm.lint(&values).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_chart_makes_what_the_kustomizations_say() {
    let Some(helm) = Helm::get("the_chart_makes_what_the_kustomizations_say") else {
        return;
    };
    let mut wanted = kustomized(&["crds", "base"]);
    // Helm's users make it themselves, or Helm does by `--create-namespace`.
    wanted.retain(|object| object["kind"] != "Namespace");
    assert_same(&helm.objects(&json!({})), &by_name(wanted));
}

#[test]
fn the_chart_makes_what_the_components_are_generated_from() {
    let Some(helm) = Helm::get("the_chart_makes_what_the_components_are_generated_from") else {
        return;
    };
    for values in [
        full(),
        json!({ "monitoring": { "enabled": true }, "externalScaler": { "enabled": true } }),
        json!({ "wake": { "mode": "none" }, "webhook": { "enabled": false }, "networkPolicies": { "enabled": false } }),
    ] {
        let mut wanted = objects(&values, NAMESPACE);
        wanted.extend(kustomized(&["crds"]));
        assert_same(&helm.objects(&values), &by_name(wanted));
    }
}

#[test]
fn wrong_values_are_refused_by_their_field() {
    let Some(helm) = Helm::get("wrong_values_are_refused_by_their_field") else {
        return;
    };
    for (values, field) in [
        (
            json!({ "activator": { "replicas": 0 } }),
            "/activator/replicas",
        ),
        (
            json!({ "autoscaler": { "shards": 65 } }),
            "/autoscaler/shards",
        ),
        (json!({ "manage": "some" }), "/manage"),
        (json!({ "wake": { "mode": "always" } }), "/wake/mode"),
        (
            json!({ "image": { "pullPolicy": "Sometimes" } }),
            "/image/pullPolicy",
        ),
        (
            json!({ "secretNamespaces": [{ "names": ["kafka"] }] }),
            "/secretNamespaces/0",
        ),
        (json!({ "activators": { "replicas": 2 } }), "'activators'"),
        (json!({ "watchNamespaces": "shop" }), "/watchNamespaces"),
    ] {
        let template = ["template", "zeron", &chart()];
        for refusal in [helm.run(&template, &values), helm.lint(&values)] {
            let refusal = refusal.expect_err(field);
            assert!(refusal.contains(field), "{values}: {refusal}");
        }
    }
}
