//! Pods that a mesh keeps us from: they refuse at their own addresses and are reached through their
//! Service. The mesh is stood for by a rule of the packet filter, which refuses connections from this
//! machine to the pods but for those that kube-proxy led there.

use std::process::Command;

use serde_json::{Value, json};
use zeron_tests::cluster::Namespace;

use super::declare::{function, http_scaled};
use super::http::until_routed;
use super::site::{DEPLOYMENT, HTTP_SCALED, Site, image};

/// The port at which only this test's pods listen.
const PORT: u16 = 18_443;
const CHAIN: &str = "ZERON-TEST-MESH";

/// The rule, in a chain of its own. Gone when this is dropped.
struct Mesh;

impl Mesh {
    /// `None` where the packet filter is not ours to change.
    fn begin() -> Option<Self> {
        drop(Self);
        let port = PORT.to_string();
        let from_pods = ["-m", "conntrack", "!", "--ctstate", "DNAT"];
        let rule = ["-A", CHAIN, "-p", "tcp", "--dport", &port];
        let refuse = ["-j", "REJECT", "--reject-with", "tcp-reset"];
        let rule = [rule.as_slice(), &from_pods, &refuse].concat();
        let is_made = iptables(&["-N", CHAIN])
            && iptables(&rule)
            && iptables(&["-I", "OUTPUT", "1", "-j", CHAIN]);
        is_made.then_some(Self)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        for arguments in [
            ["-D", "OUTPUT", "-j", CHAIN].as_slice(),
            &["-F", CHAIN],
            &["-X", CHAIN],
        ] {
            iptables(arguments);
        }
    }
}

fn iptables(arguments: &[&str]) -> bool {
    let command = Command::new("iptables").arg("-w").args(arguments).output();
    command.is_ok_and(|output| output.status.success())
}

/// A function whose pods have a sidecar, so that the platform alone judges them.
fn meshed(namespace: &Namespace, name: &str) {
    let image = image(namespace);
    let container = |name: &str, port: u16| {
        json!({
            "name": name, "image": image, "imagePullPolicy": "Never",
            "env": [
                { "name": "PORT", "value": port.to_string() },
                { "name": "LISTEN_ADDRESS", "value": "0.0.0.0" },
            ],
            "ports": [{ "containerPort": port }],
        })
    };
    let template = json!({
        "metadata": { "labels": { "app": name } },
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [container("function", PORT), container("istio-proxy", 15_001)],
        },
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": { "app": name } }, "template": template,
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": PORT }] },
    });
    namespace.apply(&format!("{deployment}\n---\n{service}"));
}

fn mesh(object: &Value) -> Option<Value> {
    let conditions = object["status"]["conditions"].as_array()?.iter();
    let mut found =
        conditions.filter(|it| it["type"] == "MeshCompatibility" && it["status"] == "True");
    found.next().cloned()
}

#[test]
fn pods_that_refuse_us_are_reached_through_their_service_and_a_condition_says_so() {
    const TEST: &str = "pods_that_refuse_us_are_reached_through_their_service";
    let Some(site) = Site::get(TEST) else {
        return;
    };
    let Some(_mesh) = Mesh::begin() else {
        return zeron_tests::broker::skip(TEST, "the packet filter cannot be changed");
    };
    let namespace = &site.namespace;
    meshed(namespace, "meshed");
    namespace.apply(&http_scaled("meshed", "", "replicas: { min: 0, max: 2 }"));
    namespace.wait_condition(HTTP_SCALED, "meshed", "Ready", "True");
    until_routed(&site, "meshed.example");
    let condition = namespace.wait(HTTP_SCALED, "meshed", "to be said to be in a mesh", mesh);
    assert_eq!(condition["reason"], "ServiceAddress");
    namespace.wait_replicas(DEPLOYMENT, "meshed", 0);
    let again = site.roles.get("meshed.example", "/");
    assert_eq!(again.status, 200, "from zero, the way is known");
}

#[test]
fn a_function_that_says_so_is_reached_through_its_service() {
    let Some(site) = Site::get("a_function_that_says_so_is_reached_through_its_service") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "by-service", 0);
    let mode = "annotations: { zeron.dev/mesh-compatibility-mode: enabled }";
    namespace.apply(&http_scaled(
        "by-service",
        mode,
        "replicas: { min: 0, max: 2 }",
    ));
    namespace.wait(
        HTTP_SCALED,
        "by-service",
        "to be said to be in a mesh",
        mesh,
    );
    until_routed(&site, "by-service.example");
    namespace.wait_replicas(DEPLOYMENT, "by-service", 0);
}
