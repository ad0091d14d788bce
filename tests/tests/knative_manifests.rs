//! `deploy/knative-swap`: beside Knative's own manifests, beside what `zeron swap knative` does, and in force.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use zeron_tests::cluster::Program;
use zeron_tests::knative::{Knative, NAMESPACE, Original, Part, Side, Template};

/// The image that the manifests name.
const IMAGE: &str = concat!("dev.local/zeron:", env!("CARGO_PKG_VERSION"));
/// It differs between releases, and ours is none of them.
const VERSION: &str = "app.kubernetes.io/version";
/// The one thing beside Deployments and Services.
const ROLE: &str = "zeron-knative-swap";

/// The text of one of the files.
fn text(part: Part) -> String {
    let name = part.name();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/knative-swap");
    fs::read_to_string(folder.join(name).join(format!("{name}.yaml"))).unwrap()
}

/// All objects of both files.
fn ours() -> Vec<Value> {
    let parts = Part::ALL.into_iter();
    let documents = |part| serde_saphyr::from_multiple::<Value>(&text(part)).unwrap();
    parts.flat_map(documents).collect()
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    let is_it = |object: &&Value| object["kind"] == kind;
    objects.iter().filter(is_it).collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// Labels without the version.
fn labels(object: &Value, pointer: &str) -> Map<String, Value> {
    let mut labels = object
        .pointer(pointer)
        .unwrap()
        .as_object()
        .unwrap()
        .clone();
    labels.remove(VERSION);
    labels
}

/// Ports in any order.
fn ports(of: &Value) -> BTreeSet<String> {
    let ports = of["ports"].as_array().unwrap().iter();
    ports.map(Value::to_string).collect()
}

/// The one container of a Deployment.
fn container(deployment: &Value) -> &Value {
    let containers = &deployment["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().unwrap().len(), 1);
    &containers[0]
}

#[test]
fn whoever_knows_knatives_deployments_finds_the_same_in_ours() {
    const TEST: &str = "whoever_knows_knatives_deployments_finds_the_same_in_ours";
    let Some(original) = Original::get(TEST) else {
        return;
    };
    let all = ours();
    let deployments = of_kind(&all, "Deployment");
    assert_eq!(deployments.len(), 2);
    for ours in deployments {
        let theirs = original.object("Deployment", name(ours));
        for labelled in ["/metadata/labels", "/spec/template/metadata/labels"] {
            assert_eq!(
                labels(ours, labelled),
                labels(theirs, labelled),
                "{labelled}"
            );
        }
        let same = [
            "/metadata/namespace",
            "/spec/selector",
            "/spec/strategy",
            "/spec/template/spec/serviceAccountName",
            "/spec/template/spec/terminationGracePeriodSeconds",
            "/spec/template/spec/affinity",
        ];
        for pointer in same {
            let what = format!("{} {pointer}", name(ours));
            assert_eq!(ours.pointer(pointer), theirs.pointer(pointer), "{what}");
        }
        same_containers(container(ours), container(theirs));
    }
}

fn same_containers(ours: &Value, theirs: &Value) {
    for field in [
        "name",
        "readinessProbe",
        "livenessProbe",
        "resources",
        "securityContext",
    ] {
        assert_eq!(ours[field], theirs[field], "{} {field}", theirs["name"]);
    }
    assert_eq!(ports(ours), ports(theirs));
    let theirs = theirs["env"].as_array().unwrap();
    for variable in ours["env"].as_array().unwrap() {
        assert!(theirs.contains(variable), "{variable}");
    }
}

#[test]
fn whoever_asks_knatives_services_reaches_the_same_ports_of_ours() {
    const TEST: &str = "whoever_asks_knatives_services_reaches_the_same_ports_of_ours";
    let Some(original) = Original::get(TEST) else {
        return;
    };
    let all = ours();
    let services = of_kind(&all, "Service");
    assert_eq!(services.len(), 2);
    for ours in services {
        let theirs = original.object("Service", name(ours));
        let at = "/metadata/labels";
        assert_eq!(labels(ours, at), labels(theirs, at), "{}", name(ours));
        assert_eq!(
            ours["metadata"]["namespace"],
            theirs["metadata"]["namespace"]
        );
        assert_eq!(ours["spec"]["selector"], theirs["spec"]["selector"]);
        assert_eq!(ours["spec"]["type"], theirs["spec"]["type"]);
        assert_eq!(
            ports(&ours["spec"]),
            ports(&theirs["spec"]),
            "{}",
            name(ours)
        );
    }
}

#[test]
fn what_scales_and_guards_knatives_activator_finds_ours() {
    const TEST: &str = "what_scales_and_guards_knatives_activator_finds_ours";
    let Some(original) = Original::get(TEST) else {
        return;
    };
    let all = ours();
    let activator = of_kind(&all, "Deployment")
        .into_iter()
        .find(|it| name(it) == "activator")
        .unwrap();
    let scaled = &original.object("HorizontalPodAutoscaler", "activator")["spec"]["scaleTargetRef"];
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "activator" });
    assert_eq!(*scaled, target);
    assert_eq!(activator["apiVersion"], target["apiVersion"]);
    let guarded = &original.object("PodDisruptionBudget", "activator-pdb")["spec"]["selector"];
    let pods = labels(activator, "/spec/template/metadata/labels");
    for (label, value) in guarded["matchLabels"].as_object().unwrap() {
        assert_eq!(pods.get(label), Some(value), "{label}");
    }
    for deployment in of_kind(&all, "Deployment") {
        let account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
        original.object("ServiceAccount", account.as_str().unwrap());
    }
}

#[test]
fn one_right_is_added_to_those_that_knative_gives() {
    const TEST: &str = "one_right_is_added_to_those_that_knative_gives";
    let Some(original) = Original::get(TEST) else {
        return;
    };
    let all = ours();
    let roles = of_kind(&all, "ClusterRole");
    let [role] = roles[..] else {
        panic!("{} roles", roles.len())
    };
    assert_eq!(name(role), ROLE);
    let scale = json!([{ "apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"] }]);
    assert_eq!(role["rules"], scale);
    // It is part of what the account of the autoscaler has.
    let admin = original.object("ClusterRole", "knative-serving-admin");
    let selectors = admin["aggregationRule"]["clusterRoleSelectors"]
        .as_array()
        .unwrap();
    let labelled = labels(role, "/metadata/labels");
    let takes = |selector: &Value| {
        let wanted = selector["matchLabels"].as_object().unwrap();
        wanted
            .iter()
            .all(|(label, value)| labelled.get(label) == Some(value))
    };
    assert!(selectors.iter().any(takes), "{selectors:?}");
    // And nobody has it already.
    for theirs in original.of_kind("ClusterRole") {
        let rules = theirs["rules"].as_array().into_iter().flatten();
        for rule in rules {
            let resources = rule["resources"].as_array().unwrap();
            assert!(
                !resources.contains(&json!("deployments/scale")),
                "{}",
                name(theirs)
            );
        }
    }
    let kinds: BTreeSet<_> = all.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        BTreeSet::from(["ClusterRole", "Deployment", "Service"])
    );
}

/// A file with both manifests, and the image of this build.
fn file(knative: &Knative) -> tempfile::TempPath {
    let both = Part::ALL.map(text).join("---\n");
    assert_eq!(both.matches(IMAGE).count(), 2);
    let both = both.replace(IMAGE, knative.cluster().image(Program::Zeron));
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::write(&file, both).unwrap();
    file
}

/// `kubectl apply` as docs/knative-swap.md has it.
fn apply(knative: &Knative, more: &[&str]) -> String {
    let file = file(knative);
    let apply = [
        "apply",
        "--server-side",
        "--field-manager=zeron",
        "--force-conflicts",
    ];
    let file = ["-f", file.to_str().unwrap()];
    knative
        .cluster()
        .kubectl(&[&apply[..], &file, more].concat())
}

/// What `zeron swap knative` says.
fn swap(knative: &Knative, more: &[&str]) -> String {
    let kubeconfig = knative.cluster().kubeconfig().to_str().unwrap();
    let swap = ["swap", "knative", "--kubeconfig", kubeconfig];
    let output = zeron_tests::command(&[&swap[..], more].concat(), |_| ());
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    output.stdout
}

#[test]
fn what_the_command_would_do_is_what_the_manifests_say() {
    const TEST: &str = "what_the_command_would_do_is_what_the_manifests_say";
    let Some(knative) = Knative::get(TEST, Side::Knatives) else {
        return;
    };
    // A swap that was before leaves its right behind, and what is there already is no step.
    let delete = ["delete", "clusterrole", ROLE, "--ignore-not-found"];
    knative.cluster().kubectl(&delete);
    let plan = swap(
        &knative,
        &["--dry-run", "--image", IMAGE, "--output", "json"],
    );
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["refusals"], json!([]));
    let all = ours();
    let mut planned = BTreeSet::new();
    for step in plan["steps"].as_array().unwrap() {
        if step["step"] == "grant" {
            assert_eq!(step["manifest"], *of_kind(&all, "ClusterRole")[0]);
            planned.insert(ROLE);
            continue;
        }
        let deployment = step["deployment"].as_str().unwrap();
        let manifest = of_kind(&all, "Deployment")
            .into_iter()
            .find(|it| name(it) == deployment)
            .unwrap();
        let wanted = container(manifest);
        for (field, value) in container(&step["patch"]).as_object().unwrap() {
            assert_eq!(wanted[field], *value, "{deployment} {field}");
        }
        planned.insert(name(manifest));
    }
    assert_eq!(planned, BTreeSet::from(["activator", "autoscaler", ROLE]));
}

#[test]
fn after_the_command_the_manifests_change_nothing() {
    const TEST: &str = "after_the_command_the_manifests_change_nothing";
    let Some(knative) = Knative::get(TEST, Side::Ours) else {
        return;
    };
    let applied = apply(&knative, &["--dry-run=server", "--output", "json"]);
    let applied: Value = serde_json::from_str(&applied).unwrap();
    let applied = applied["items"].as_array().unwrap();
    assert_eq!(applied.len(), ours().len());
    for object in applied {
        let kind = object["kind"].as_str().unwrap();
        let mut get = vec!["get", kind, name(object), "--output", "json"];
        if kind != "ClusterRole" {
            get.extend(["--namespace", NAMESPACE]);
        }
        let found: Value = serde_json::from_str(&knative.cluster().kubectl(&get)).unwrap();
        assert_eq!(
            object["metadata"]["labels"], found["metadata"]["labels"],
            "{kind}"
        );
        assert_eq!(object["spec"], found["spec"], "{kind} {}", name(object));
        assert_eq!(object["rules"], found["rules"], "{kind}");
    }
}

#[test]
fn applied_to_knative_they_serve_from_zero_and_leave_the_command_nothing_to_do() {
    const TEST: &str =
        "applied_to_knative_they_serve_from_zero_and_leave_the_command_nothing_to_do";
    let Some(knative) = Knative::alone(TEST, Side::Knatives) else {
        return;
    };
    apply(&knative, &[]);
    for part in Part::ALL {
        knative.wait_rolled_out(part);
        assert_eq!(knative.side(part), Some(Side::Ours));
    }
    let namespace = knative.cluster().namespace("kn-manifests");
    let template = Template::new().scaling("initial-scale", "0");
    let revision = knative.revision(&namespace, "cold", &template).ready();
    let answer = revision.request().send("/").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(revision.wait_active("False"), "NoTraffic");
    revision.wait_replicas(0);
    let image = knative.cluster().image(Program::Zeron);
    let said = swap(&knative, &["--dry-run", "--image", image]);
    assert!(said.ends_with("Nothing is left to do.\n"), "{said}");
    // The way back is to apply Knative's own; then the right goes by the command.
    knative.put_back();
    let said = swap(&knative, &["--back"]);
    assert!(said.contains(&format!("ClusterRole {ROLE} goes")), "{said}");
}
