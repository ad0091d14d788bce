//! The API server, the autoscaler, or both are not there for a while.

use std::time::Duration;

use zeron_tests::cluster::{Cluster, Installation, Namespace, Roles};
use zeron_tests::wait::last;

use super::api::{Api, Mode};
use super::declare::{DEPLOYMENT, POD, http_function, until_served};
use super::load::Load;

/// How long an outage lasts.
const OUTAGE: Duration = Duration::from_secs(20);

/// A function that is asked all the time, one that sleeps, and roles that see the API server through a proxy.
struct Scene {
    roles: Installation,
    api: Api,
    load: Load,
    pod: String,
    // Dropped last: whoever writes ends before what it writes on.
    namespace: Namespace,
}

impl Scene {
    fn start(test: &str, prefix: &str) -> Option<Self> {
        let cluster = Cluster::get(&format!("kubernetes_faults::{test}"))?;
        cluster.install_crds();
        let namespace = cluster.namespace(prefix);
        let api = Api::of(cluster);
        http_function(&namespace, "warm", 0, 2);
        http_function(&namespace, "cold", 0, 1);
        let roles = Roles::of(&namespace).kubeconfig(&api.kubeconfig()).start();
        until_served(&roles, "cold.example");
        until_served(&roles, "warm.example");
        let load = Load::start(&[roles.activators[0].listen()], "warm.example", "/", 100);
        namespace.wait_replicas(DEPLOYMENT, "cold", 0);
        namespace.wait_pods("app=cold", 0);
        let pod = the_pod(&namespace);
        Some(Self {
            roles,
            api,
            load,
            pod,
            namespace,
        })
    }

    /// All is as before: nothing was lost, the same pod serves, and who is not needed sleeps again.
    fn end(self, during: &str) {
        assert_eq!(the_pod(&self.namespace), self.pod, "the pod was replaced");
        let before_end = self.roles.get("cold.example", "/");
        assert_eq!(
            before_end.status,
            200,
            "cold, afterwards: {}",
            before_end.text()
        );
        self.load.end().assert_all_answered(during);
        for name in ["warm", "cold"] {
            self.namespace.wait_replicas(DEPLOYMENT, name, 0);
        }
    }
}

fn the_pod(namespace: &Namespace) -> String {
    let pods = namespace.list(POD, "app=warm");
    let [pod] = &pods[..] else {
        panic!("{} pods", pods.len())
    };
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}

#[test]
fn without_the_api_server_warm_requests_are_answered() {
    let Some(scene) = Scene::start("without_the_api_server", "faults-api") else {
        return;
    };
    // An outage lasts: first nobody is there, then somebody who is silent.
    scene.api.set(Mode::Gone);
    last(OUTAGE / 2);
    scene.api.set(Mode::Silent);
    last(OUTAGE / 2);
    scene.api.set(Mode::Pass);
    scene.end("API server gone");
}

#[test]
fn without_the_autoscaler_warm_and_cold_requests_are_answered() {
    let Some(mut scene) = Scene::start("without_the_autoscaler", "faults-scaler") else {
        return;
    };
    scene.roles.autoscalers[0].kill();
    let answer = scene.roles.get("cold.example", "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-keda-http-cold-start"), Some("true"));
    // An outage lasts.
    last(OUTAGE);
    scene.roles.autoscalers[0].restart();
    scene.end("autoscaler gone");
}

#[test]
fn without_both_warm_requests_are_answered() {
    let Some(mut scene) = Scene::start("without_both", "faults-both") else {
        return;
    };
    scene.api.set(Mode::Gone);
    scene.roles.autoscalers[0].kill();
    // An outage lasts.
    last(OUTAGE);
    scene.api.set(Mode::Pass);
    scene.roles.autoscalers[0].restart();
    scene.end("API server and autoscaler gone");
}
