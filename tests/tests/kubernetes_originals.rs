//! Where KEDA's own definitions of kinds are installed, and its HTTP add-on's, they serve as they are.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use zeron_tests::cluster::{OwnApi, Roles};
use zeron_tests::until;

/// Names the folders of the originals' definitions.
const FOLDERS: &str = "ZERON_ORIGINAL_CRDS";
const SCALED: &str = "keda.sh/v1alpha1/ScaledObject";
const HTTP_SCALED: &str = "http.keda.sh/v1alpha1/HTTPScaledObject";
const ROUTE: &str = "http.keda.sh/v1beta1/InterceptorRoute";
const DEPLOYMENT: &str = "apps/v1/Deployment";

#[test]
fn objects_are_scaled_and_routed_and_reported_on_by_the_originals_definitions() {
    const TEST: &str = "objects_are_scaled_and_routed_and_reported_on_by_the_originals_definitions";
    let Some(folders) = std::env::var_os(FOLDERS) else {
        zeron_tests::broker::skip(TEST, &format!("{FOLDERS} names no definitions of KEDA"));
        return;
    };
    let Some(own) = OwnApi::start(TEST) else {
        return;
    };
    let cluster = own.cluster();
    let files: Vec<PathBuf> = std::env::split_paths(&folders)
        .flat_map(|folder| yaml_in(&folder))
        .collect();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        cluster.define(&std::fs::read_to_string(file).unwrap());
    }
    let namespace = cluster.namespace("originals");
    namespace.apply(OBJECTS);
    let roles = Roles::of(&namespace).start();

    namespace.wait_condition(SCALED, "queue", "Ready", "True");
    namespace.wait_replicas(DEPLOYMENT, "queue", 2);
    // What their schemas do not know the API server drops.
    let scaled = namespace.wait(SCALED, "queue", "to have its whole status", |object| {
        let status = &object["status"];
        let is_whole = status["scaleTargetKind"] == "apps/v1.Deployment"
            && status["scaleTargetGVKR"]["resource"] == "deployments"
            && status["originalReplicaCount"] == 1
            && status["triggersTypes"] == "cron";
        is_whole.then(|| object.clone())
    });
    let finalizers = &scaled["metadata"]["finalizers"];
    assert_eq!(finalizers[0], "finalizer.keda.sh", "{finalizers}");
    namespace.wait_condition(HTTP_SCALED, "shop", "Ready", "True");
    namespace.wait_condition(ROUTE, "blog", "Ready", "True");
    // Both kinds of routes lead to functions at zero, which are woken; here is no node that would start them.
    for name in ["shop", "blog"] {
        let _waiting = until("the host to be routed", || {
            let mut waiting = roles.activators[0].connect();
            waiting.get(&format!("{name}.example"), "/");
            // Whoever is answered is told that nobody knows the host.
            (!waiting.readable_within(Duration::from_millis(500))).then_some(waiting)
        });
        namespace.wait_replicas(DEPLOYMENT, name, 1);
    }
    let missing = roles.get("nobody.example", "/");
    assert_eq!(missing.status, 404);
}

fn yaml_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    files
}

const OBJECTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: queue}
spec:
  replicas: 1
  selector: {matchLabels: {app: queue}}
  template:
    metadata: {labels: {app: queue}}
    spec: {containers: [{name: main, image: none, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 0
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: main, image: none, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: blog}
spec:
  replicas: 0
  selector: {matchLabels: {app: blog}}
  template:
    metadata: {labels: {app: blog}}
    spec: {containers: [{name: main, image: none, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: blog}
spec: {selector: {app: blog}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: queue}
spec:
  scaleTargetRef: {name: queue}
  minReplicaCount: 2
  maxReplicaCount: 5
  triggers:
  - {type: cron, metadata: {timezone: Etc/UTC, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: "2"}}
---
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: shop}
spec:
  hosts: [shop.example]
  scaleTargetRef: {name: shop, kind: Deployment, apiVersion: apps/v1, service: shop, port: 80}
  replicas: {min: 0, max: 5}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: blog}
spec:
  target: {service: blog, port: 80}
  rules: [{hosts: [blog.example]}]
  scalingMetric: {concurrency: {targetValue: 10}}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: blog}
spec:
  scaleTargetRef: {name: blog}
  minReplicaCount: 0
  maxReplicaCount: 5
  triggers:
  - {type: external-push, metadata: {scalerAddress: "keda-add-ons-http-external-scaler.keda:9090", interceptorRoute: blog}}
"#;
