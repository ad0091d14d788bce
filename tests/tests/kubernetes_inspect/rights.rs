//! What is said where something is missing: rights, names, answers.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zeron_tests::cluster::Program;
use zeron_tests::until;

use super::site::{AUTOSCALERS, Site};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

impl Site {
    /// A kubeconfig of somebody with these rules in the autoscalers' namespace.
    fn person(&self, name: &str, rules: &Value, folder: &Path) -> PathBuf {
        let role = json!({
            "apiVersion": RBAC, "kind": "Role", "metadata": { "name": name }, "rules": rules,
        });
        self.namespace.apply(&role.to_string());
        self.bound(name, "Role", name, folder)
    }

    /// A kubeconfig of somebody who has this role there.
    fn bound(&self, name: &str, kind: &str, role: &str, folder: &Path) -> PathBuf {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name },
        });
        let binding = json!({
            "apiVersion": RBAC, "kind": "RoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
            "subjects": [{
                "kind": "ServiceAccount", "name": name, "namespace": self.namespace.name(),
            }],
        });
        self.namespace.apply(&account.to_string());
        self.namespace.apply(&binding.to_string());
        self.namespace.account(name, folder)
    }
}

#[test]
fn missing_rights_unknown_names_and_silent_autoscalers_are_said() {
    let Some(site) = Site::get("missing_rights_unknown_names_and_silent_autoscalers_are_said")
    else {
        return;
    };
    let names = site.names("partly");
    for name in &names {
        site.function(name, 0, "begun");
    }
    let admin = site.namespace.cluster().kubeconfig();
    until("all four to be listed", || {
        let listed = site.listed(admin);
        names.iter().all(|name| listed.contains(name)).then_some(())
    });
    let folder = tempfile::tempdir().unwrap();
    nobody_and_nowhere(&site, admin);
    those_without_rights(&site, folder.path());
    whoever_sees_one_of_two(&site, &names, folder.path());
    the_role_of_the_manifests_is_enough(&site, &names, folder.path());
    one_that_is_silent(&site);
}

fn nobody_and_nowhere(site: &Site, admin: &Path) {
    let output = site.zeron(&["why", "nobody"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    let said = "error: no function is called \"nobody\"; there are: ";
    assert!(output.stderr.contains(said), "{}", output.stderr);

    // The context names no namespace: that is `default`.
    let (file, zeron) = (admin.to_str().unwrap(), site.namespace.name());
    let place = ["--kubeconfig", file, "--zeron-namespace", zeron];
    let output = zeron_tests::command(&[&["why", "partly-0"][..], &place].concat(), |_| ());
    let hint = "hint: only namespace default was looked at";
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains(hint), "{}", output.stderr);

    let empty = site.namespace.cluster().namespace("inspect-empty");
    let place = ["--kubeconfig", file, "--zeron-namespace", empty.name()];
    let output = zeron_tests::command(&[&["ls"][..], &place].concat(), |_| ());
    assert_eq!(output.code, Some(1));
    let said = format!("no autoscaler runs in namespace {}", empty.name());
    assert!(
        output.stderr.contains(&said) && output.stderr.contains("there is one in "),
        "{}",
        output.stderr
    );
}

fn those_without_rights(site: &Site, folder: &Path) {
    let stranger = site.person("stranger", &json!([]), folder);
    let output = site.zeron_as(&["ls"], &stranger);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""));
    let said = format!(
        "error: you may not list pods in namespace {}: ",
        site.namespace.name()
    );
    assert!(
        output.stderr.contains(&said) && output.stderr.contains("--clusterrole=zeron-inspect"),
        "{}",
        output.stderr
    );
    let lists = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] }]);
    let looker = site.person("looker", &lists, folder);
    let output = until("the right to list to be in force", || {
        let output = site.zeron_as(&["ls"], &looker);
        (!output.stderr.contains("you may not list")).then_some(output)
    });
    assert_eq!(output.code, Some(1));
    for said in [
        "answered",
        "pods/portforward",
        "--clusterrole=zeron-inspect",
    ] {
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
}

/// With the right to reach one pod alone, the other autoscaler is one that does not answer.
fn whoever_sees_one_of_two(site: &Site, names: &[String], folder: &Path) {
    let pods = site.namespace.list("v1/Pod", AUTOSCALERS);
    let pod = |index: usize| pods[index]["metadata"]["name"].as_str().unwrap();
    let rules = json!([
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] },
        { "apiGroups": [""], "resources": ["pods/portforward"], "resourceNames": [pod(0)],
          "verbs": ["get", "create"] },
    ]);
    let half = site.person("half", &rules, folder);
    let output = until("the rights to be in force", || {
        let output = site.zeron_as(&["ls"], &half);
        output.stdout.starts_with("NAME").then_some(output)
    });
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let silent = format!("warning: autoscaler {} did not answer: ", pod(1));
    for said in [&silent, " of 4 are held by no autoscaler that answered"] {
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    let is_shown = |name: &&String| words.contains(&name.as_str());
    let shown: Vec<_> = names.iter().filter(is_shown).collect();
    assert_eq!(shown.len(), 2, "{}", output.stdout);
    // What the other one decides is not explained, and what is missing is said.
    let hidden = names.iter().find(|name| !shown.contains(name)).unwrap();
    let why = site.zeron_as(&["why", hidden], &half);
    assert_eq!(why.code, Some(1));
    assert!(
        why.stderr.contains("held by no autoscaler"),
        "{}",
        why.stderr
    );
    let why = site.zeron_as(&["why", shown[0]], &half);
    assert_eq!(why.code, Some(0), "{}", why.stderr);
}

fn the_role_of_the_manifests_is_enough(site: &Site, names: &[String], folder: &Path) {
    // Copies for tests have the namespace's name at the end of theirs.
    let role = format!("zeron-inspect-{}", site.namespace.name());
    let person = site.bound("inspector", "ClusterRole", &role, folder);
    until("the role to be in force", || {
        let listed = site.listed(&person);
        names.iter().all(|name| listed.contains(name)).then_some(())
    });
    let output = site.zeron_as(&["ls"], &person);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// A pod with an autoscaler's labels that is none: nothing listens on the port.
fn one_that_is_silent(site: &Site) {
    let image = site.namespace.cluster().image(Program::Function);
    site.namespace.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata:
  name: silent
  labels: {{ app.kubernetes.io/name: zeron, app.kubernetes.io/component: autoscaler }}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{ name: silent, image: {image}, imagePullPolicy: Never }}]
"
    ));
    let said = "warning: autoscaler silent did not answer: ";
    let output = until("the silent one to be said", || {
        let output = site.zeron(&["ls"]);
        output.stderr.contains(said).then_some(output)
    });
    // Others hold all shards: nothing is missing.
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("refused"), "{}", output.stderr);
    site.namespace.delete("v1/Pod", "silent");
}
