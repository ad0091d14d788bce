//! `scalingModifiers` on one machine: a formula over requests and a source that has no target of its own.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zeron_tests::manifest::host;
use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::{Setup, until};

/// Each request counts as two, each job as one, and a replica carries four.
fn shop(jobs: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: shop}}
spec:
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}
    spec:
      containers:
      - name: shop
        command: [zeron-example-function]
        args: ["--port", "$(PORT)"]
        ports: [{{containerPort: 8080}}]
---
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec:
  selector: {{app: shop}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {{name: shop}}
spec:
  target: {{service: shop, port: 80}}
  rules: [{{hosts: [{host}]}}]
  scalingMetric: {{concurrency: {{targetValue: 1}}}}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: shop}}
spec:
  scaleTargetRef: {{name: shop}}
  pollingInterval: 1
  cooldownPeriod: 1
  maxReplicaCount: 9
  advanced:
    scalingModifiers: {{formula: requests * 2 + jobs, target: "4"}}
    horizontalPodAutoscalerConfig: {{behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}}}
  triggers:
  - type: external-push
    name: requests
    metadata: {{scalerAddress: "unused:9090", interceptorRoute: shop}}
  - type: metrics-api
    name: jobs
    metadata: {{url: "{jobs}", valueLocation: jobs}}
"#,
        host = host("shop")
    )
}

#[test]
fn requests_and_jobs_are_joined_by_a_formula() {
    let jobs = Arc::new(AtomicU64::new(0));
    let served = Arc::clone(&jobs);
    let api = Api::start(move |_, _| {
        let jobs = served.load(Ordering::SeqCst);
        Reply::ok(format!(r#"{{"jobs": {jobs}}}"#))
    });
    let zeron = Setup::new()
        .manifest("shop.yaml", &shop(&api.url("/jobs")))
        .up();
    zeron.wait_for("shop", "desired", 0);

    // Without jobs: 6 requests, 12 by the formula, 3 replicas of 4.
    let held: Vec<_> = (0..6)
        .map(|_| {
            let mut client = zeron.connect();
            client.get(&host("shop"), "/work?ms=600000");
            client
        })
        .collect();
    zeron.wait_for("shop", "desired", 3);
    jobs.store(8, Ordering::SeqCst);
    zeron.wait_for("shop", "desired", 5);
    let why = zeron.run(&["why", "shop"]).stdout;
    assert!(why.contains("composite-metric"), "{why}");

    drop(held);
    zeron.wait_for("shop", "desired", 2);
    jobs.store(0, Ordering::SeqCst);
    zeron.wait_for_zero("shop");

    // A first request wakes it by the formula's own activation.
    let answer = zeron.get("shop", "/");
    assert_eq!(answer.status, 200);
    until("a replica", || {
        (!zeron.replicas("shop").is_empty()).then_some(())
    });
}
