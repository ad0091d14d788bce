//! KEDA's real HTTP add-on: interceptor, scaler and operator as pods of a test's namespace.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use zeron_tests::Raw;
use zeron_tests::wait::within;

use super::scene::{SCALED, SERVICE, SLICE, Scene};

/// Names the folder of the add-on's programs: `interceptor`, `scaler` and `operator`, built with Go.
const FOLDER: &str = "ZERON_TEST_HTTP_ADD_ON";
const SCALER: &str = "keda-add-ons-http-external-scaler";
/// Its Deployments, as its chart and its manifests name them.
pub(crate) const PARTS: [&str; 3] = [
    "keda-add-ons-http-interceptor",
    SCALER,
    "keda-add-ons-http-operator",
];

/// The folder, if there is one; a test without it is skipped, which is reported.
pub(crate) fn programs(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    if folder.is_none() {
        zeron_tests::broker::skip(test, &format!("{FOLDER} names no HTTP add-on"));
    }
    folder
}

/// Installs it for the scene's namespace alone and waits until it serves.
pub(crate) fn install(scene: &Scene, programs: &Path) {
    let namespace = &scene.namespace;
    let name = namespace.name();
    namespace.apply(&account(scene));
    for (part, program, environment, ports) in parts(name) {
        let image = scene.cluster.image_of(&programs.join(program));
        namespace.apply(&deployment(part, &image, &environment, &ports));
    }
    namespace.apply(SERVICES);
    for part in PARTS {
        namespace.wait_pods(&format!("app={part}"), 1);
    }
    scene.wait_endpoints(super::scene::PROXY);
    scene.wait_endpoints(SCALER);
}

/// What each part runs, is told, and listens on: name and number of ports, the first of which shows that it is ready.
fn parts(namespace: &str) -> [(&'static str, &'static str, Value, Value); 3] {
    let variables = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        json!(
            pairs
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect::<Vec<_>>()
        )
    };
    let [interceptor, scaler, operator] = PARTS;
    [
        (
            interceptor,
            "interceptor",
            variables(&[
                ("KEDA_HTTP_PROXY_PORT", "8080"),
                ("KEDA_HTTP_ADMIN_PORT", "9090"),
                ("KEDA_HTTP_WATCH_NAMESPACE", namespace),
            ]),
            json!([{ "name": "admin", "containerPort": 9090 }, { "name": "proxy", "containerPort": 8080 }]),
        ),
        (
            scaler,
            "scaler",
            variables(&[
                ("KEDA_HTTP_SCALER_TARGET_ADMIN_NAMESPACE", namespace),
                ("KEDA_HTTP_SCALER_TARGET_ADMIN_DEPLOYMENT", interceptor),
                (
                    "KEDA_HTTP_SCALER_TARGET_ADMIN_SERVICE",
                    "keda-add-ons-http-interceptor-admin",
                ),
                ("KEDA_HTTP_SCALER_TARGET_ADMIN_PORT", "9090"),
                ("KEDA_HTTP_SCALER_PORT", "9090"),
            ]),
            json!([{ "name": "grpc", "containerPort": 9090 }]),
        ),
        (
            operator,
            "operator",
            variables(&[
                ("KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_SERVICE", scaler),
                ("KEDA_HTTP_OPERATOR_EXTERNAL_SCALER_PORT", "9090"),
                ("KEDA_HTTP_OPERATOR_NAMESPACE", namespace),
                ("KEDA_HTTP_OPERATOR_WATCH_NAMESPACE", namespace),
            ]),
            json!([{ "name": "probes", "containerPort": 8081 }]),
        ),
    ]
}

fn deployment(name: &str, image: &str, environment: &Value, ports: &Value) -> String {
    let arguments = match name.ends_with("operator") {
        true => json!(["--leader-elect"]),
        false => json!([]),
    };
    let first = &ports[0]["containerPort"];
    // Only the interceptor's says more than that it listens.
    let probe = match ports[0]["name"] == "admin" {
        true => json!({ "httpGet": { "path": "/readyz", "port": first }, "periodSeconds": 1 }),
        false => json!({ "tcpSocket": { "port": first }, "periodSeconds": 1 }),
    };
    let container = json!({
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "args": arguments,
        "env": environment,
        "ports": ports,
        "readinessProbe": probe,
    });
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "serviceAccountName": "add-on", "containers": [container] },
            },
        },
    })
    .to_string()
}

const SERVICES: &str = r"
apiVersion: v1
kind: Service
metadata: {name: keda-add-ons-http-interceptor-proxy}
spec: {selector: {app: keda-add-ons-http-interceptor}, ports: [{name: proxy, port: 8080, targetPort: proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: keda-add-ons-http-interceptor-admin}
spec: {selector: {app: keda-add-ons-http-interceptor}, ports: [{name: admin, port: 9090, targetPort: admin}]}
---
apiVersion: v1
kind: Service
metadata: {name: keda-add-ons-http-external-scaler}
spec: {selector: {app: keda-add-ons-http-external-scaler}, ports: [{name: grpc, port: 9090, targetPort: grpc}]}
";

/// An account that may do all: what they may is not tested here. The binding goes with the namespace.
fn account(scene: &Scene) -> String {
    let name = scene.namespace.name();
    let uid = scene
        .cluster
        .try_kubectl(&["get", "namespace", name, "-o", "jsonpath={.metadata.uid}"])
        .expect("the namespace is there");
    format!(
        r"
apiVersion: v1
kind: ServiceAccount
metadata: {{name: add-on}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {name}-add-on
  ownerReferences: [{{apiVersion: v1, kind: Namespace, name: {name}, uid: {uid}}}]
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{kind: ServiceAccount, name: add-on, namespace: {name}}}]
"
    )
}

/// A function at zero that requests for `NAME.example` wake.
pub(crate) fn add_cold(scene: &Scene, name: &str) {
    scene.add_workload(name, 0);
    add_route(scene, name);
    scene.namespace.apply(&format!(
        r"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}}}
spec:
  scaleTargetRef: {{name: {name}}}
  minReplicaCount: 0
  maxReplicaCount: 5
  triggers: [{}]
",
        trigger(scene, name)
    ));
}

/// Requests for `web.example` count for `web`, beside what it has.
pub(crate) fn add_to_web(scene: &Scene) {
    add_route(scene, "web");
    // The HorizontalPodAutoscaler would not want to lead to nothing but the add-on.
    let triggers = json!([
        { "type": "cpu", "metricType": "Utilization", "metadata": { "value": "90" } },
        trigger(scene, "web"),
    ]);
    let patch = json!({ "spec": { "triggers": triggers } });
    scene.namespace.patch(SCALED, "web", patch);
}

fn add_route(scene: &Scene, name: &str) {
    scene.namespace.apply(&format!(
        r"
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {{name: {name}}}
spec:
  target: {{service: {name}, port: 80}}
  rules: [{{hosts: [{name}.example]}}]
  scalingMetric: {{concurrency: {{targetValue: 100}}}}
"
    ));
}

/// KEDA is a process of this machine, which does not know the cluster's names: it is told the address.
fn trigger(scene: &Scene, route: &str) -> Value {
    let address = scene.address_of(SCALER).to_string();
    let metadata = json!({ "scalerAddress": address, "interceptorRoute": route });
    json!({ "type": "external-push", "metadata": metadata })
}

/// Longest time without an answer; whoever is to bring it waits for a lease to run out.
const HELD: Duration = Duration::from_secs(60);

/// One request that has to wait for its answer.
pub(crate) struct Held(JoinHandle<io::Result<u16>>);

impl Held {
    /// Sends `GET /` to `NAME.example` at `address`.
    pub(crate) fn send(address: SocketAddr, name: &str) -> Self {
        let host = format!("{name}.example");
        Self(thread::spawn(move || {
            let mut connection = Raw::try_connect(address)?.patient(HELD)?;
            let answer = connection.get(&host, "/").try_response();
            answer.map(|answer| answer.status)
        }))
    }

    /// It was answered with 200.
    pub(crate) fn answered(self, name: &str) {
        let answer = self.0.join().expect("a sender does not panic");
        assert_eq!(answer.unwrap(), 200, "{name}");
    }
}

/// Waits until an interceptor says that it holds a request for `name`.
pub(crate) fn wait_held(scene: &Scene, name: &str) {
    let namespace = &scene.namespace;
    let pods = namespace.list("v1/Pod", &format!("app={}", PARTS[0]));
    let ip = pods[0]["status"]["podIP"].as_str().unwrap();
    let admin: SocketAddr = format!("{ip}:9090").parse().unwrap();
    let route = format!("{}/{name}", namespace.name());
    let what = format!("an interceptor to hold a request for {name}");
    within(Duration::from_secs(30), &what, || {
        let answer = Raw::connect(admin).get("admin", "/queue").response();
        let counts: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (counts[&route]["Concurrency"] == 1).then_some(())
    });
}

impl Scene {
    /// Waits until the Service leads to a pod that is ready.
    pub(crate) fn wait_endpoints(&self, service: &str) {
        let labels = format!("kubernetes.io/service-name={service}");
        self.namespace
            .wait_list(SLICE, &labels, "to lead to pods", |slices| {
                let is_ready = |slice: &Value| slice["endpoints"][0]["conditions"]["ready"] == true;
                slices.iter().any(is_ready).then_some(())
            });
        assert!(self.namespace.get(SERVICE, service).is_some());
    }
}
