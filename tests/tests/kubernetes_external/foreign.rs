//! An external scaler written in Go against KEDA's own protocol drives a Deployment through our autoscaler.

use serde_json::{Value, json};
use zeron_tests::cluster::{Cluster, Namespace, Program, Roles};
use zeron_tests::external::{self, ForeignScaler};
use zeron_tests::{servers, until};

use super::{DEPLOYMENT, SCALED};

/// A Deployment at zero, and a ScaledObject that asks the scaler each second.
fn declare(namespace: &Namespace, scaler: &ForeignScaler, kind: &str) {
    let image = namespace.cluster().image(Program::Function);
    let address = scaler.address();
    namespace.apply(&format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: worker}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: worker}}}}
  template:
    metadata: {{labels: {{app: worker}}}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: worker
        image: {image}
        imagePullPolicy: Never
        env: [{{name: WORD, value: between us}}]
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: jobs}}
spec:
  scaleTargetRef: {{name: worker}}
  pollingInterval: 1
  cooldownPeriod: 2
  maxReplicaCount: 5
  advanced: {{horizontalPodAutoscalerConfig: {{behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}}}}}
  triggers:
  - type: {kind}
    metadata: {{scalerAddress: "{address}", queue: jobs, wordFromEnv: WORD}}
"#
    ));
}

/// Whom it was asked about, and with what words.
fn is_asked(scaler: &ForeignScaler, namespace: &Namespace) -> Option<()> {
    let seen = scaler.seen();
    let metadata = json!({
        "scalerAddress": scaler.address().to_string(),
        "queue": "jobs",
        "wordFromEnv": "between us",
    });
    let is_it = |field: &str, value: &Value| seen[field] == *value;
    let is_ours = is_it("name", &json!("jobs")) && is_it("namespace", &json!(namespace.name()));
    (is_ours && is_it("metadata", &metadata)).then_some(())
}

/// From zero to ceil(12 / 5) replicas that run, and back.
fn there_and_back(namespace: &Namespace, scaler: &ForeignScaler) {
    scaler.measure(12.0, 5.0, true);
    namespace.wait_replicas(DEPLOYMENT, "worker", 3);
    namespace.wait_pods("app=worker", 3);
    namespace.wait_condition(SCALED, "jobs", "Active", "True");
    scaler.measure(0.0, 5.0, false);
    namespace.wait_replicas(DEPLOYMENT, "worker", 0);
    namespace.wait_pods("app=worker", 0);
}

#[test]
fn a_scaler_of_somebody_elses_drives_a_deployment_from_zero_and_back() {
    const TEST: &str = "a_scaler_of_somebody_elses_drives_a_deployment_from_zero_and_back";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let Some(mut scaler) = external::started(TEST, ForeignScaler::start()) else {
        return;
    };
    cluster.install_crds();
    let namespace = &cluster.namespace("external-foreign");
    let _zeron = Roles::of(namespace).activators(0).start();
    scaler.measure(0.0, 5.0, false);
    declare(namespace, &scaler, "external");
    namespace.wait_condition(SCALED, "jobs", "Ready", "True");
    until("it to be asked in KEDA's words", || {
        is_asked(&scaler, namespace)
    });
    assert_eq!(namespace.replicas(DEPLOYMENT, "worker"), 0);
    there_and_back(namespace, &scaler);
    // The same by push; its replicas outlast the scaler, which has forgotten everything when it is back.
    declare(namespace, &scaler, "external-push");
    until("the stream to be opened", || {
        (scaler.seen()["streams"] == 1).then_some(())
    });
    scaler.measure(8.0, 5.0, true);
    namespace.wait_replicas(DEPLOYMENT, "worker", 2);
    scaler.server().kill();
    namespace.wait_reason(SCALED, "jobs", ["Ready", "False", "TriggerError"]);
    assert_eq!(namespace.replicas(DEPLOYMENT, "worker"), 2);
    let address = scaler.address();
    scaler.server().run(|| servers::accepts(address));
    namespace.wait_replicas(DEPLOYMENT, "worker", 0);
    namespace.wait_condition(SCALED, "jobs", "Ready", "True");
}
