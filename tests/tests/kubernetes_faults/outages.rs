//! The API server, the autoscaler, or both are not there for a while.

use std::time::Duration;

use zeron_tests::cluster::{Cluster, Installation, Namespace, Roles};
use zeron_tests::load::Load;
use zeron_tests::soak::is_soak;
use zeron_tests::wait::last;

use super::api::{Api, Mode};
use super::declare::{DEPLOYMENT, POD, http_function, until_served};

/// How long an outage lasts: of all of them at a time, so that a test run need not wait for one after the other.
fn outage() -> Duration {
    match is_soak() {
        true => Duration::from_secs(300),
        false => Duration::from_secs(60),
    }
}

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
    fn start(cluster: &'static Cluster, prefix: &str) -> Self {
        let namespace = cluster.namespace(prefix);
        let api = Api::of(cluster);
        http_function(&namespace, "warm", 0, 2);
        http_function(&namespace, "cold", 0, 1);
        let roles = Roles::of(&namespace).kubeconfig(&api.kubeconfig()).start();
        until_served(&roles, "cold.example");
        until_served(&roles, "warm.example");
        let load = Load::mixed(&[roles.activators[0].listen()], "warm.example", "/", 50);
        namespace.wait_replicas(DEPLOYMENT, "cold", 0);
        namespace.wait_pods("app=cold", 0);
        let pod = the_pod(&namespace);
        Self {
            roles,
            api,
            load,
            pod,
            namespace,
        }
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

/// Each in a namespace of its own, with roles of its own.
#[test]
fn without_the_api_server_the_autoscaler_or_both_warm_requests_are_answered() {
    let Some(cluster) = Cluster::get("kubernetes_faults::without_the_api_server") else {
        return;
    };
    cluster.install_crds();
    let outages = [
        ("faults-api", without_the_api_server as fn(Scene)),
        ("faults-scaler", without_the_autoscaler),
        ("faults-both", without_both),
    ];
    std::thread::scope(|scope| {
        for (prefix, outage) in outages {
            scope.spawn(move || outage(Scene::start(cluster, prefix)));
        }
    });
}

fn without_the_api_server(scene: Scene) {
    // First nobody is there, then somebody who is silent.
    scene.api.set(Mode::Gone);
    last(outage() / 2);
    scene.api.set(Mode::Silent);
    last(outage() / 2);
    scene.api.set(Mode::Pass);
    scene.end("API server gone");
}

fn without_the_autoscaler(mut scene: Scene) {
    scene.roles.autoscalers[0].kill();
    let answer = scene.roles.get("cold.example", "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-keda-http-cold-start"), Some("true"));
    last(outage());
    scene.roles.autoscalers[0].restart();
    scene.end("autoscaler gone");
}

fn without_both(mut scene: Scene) {
    scene.api.set(Mode::Gone);
    scene.roles.autoscalers[0].kill();
    last(outage());
    scene.api.set(Mode::Pass);
    scene.roles.autoscalers[0].restart();
    scene.end("API server and autoscaler gone");
}
