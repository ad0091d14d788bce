//! A KEDA that lives on and scales by what our data plane counts: it asks an autoscaler of ours as any external scaler,
//! and is told at once when a request waits. Its operator is the real one.
#![allow(clippy::unwrap_used)]

#[path = "kubernetes_external/adapter.rs"]
mod adapter;
#[path = "kubernetes_external/foreign.rs"]
mod foreign;
#[allow(dead_code, reason = "shared with the take-over's tests")]
#[path = "kubernetes_takeover/keda.rs"]
mod keda;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use zeron_tests::cluster::{Cluster, Namespace, Program, Roles};
use zeron_tests::free_address;
use zeron_tests::wait::within;

use adapter::Adapter;
use keda::Keda;

const DEPLOYMENT: &str = "apps/v1/Deployment";
const SCALED: &str = "keda.sh/v1alpha1/ScaledObject";

/// A Deployment at zero, its Service, and a route that leaves the count to somebody else.
fn add_function(namespace: &Namespace) {
    let image = namespace.cluster().image(Program::Function);
    namespace.apply(&format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: function
        image: {image}
        imagePullPolicy: Never
        env:
        - {{name: PORT, value: "8080"}}
        - {{name: LISTEN_ADDRESS, value: 0.0.0.0}}
        - {{name: MESSAGE, value: this is web}}
        ports: [{{containerPort: 8080}}]
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata:
  name: web
  labels: {{zeron.dev/manage: "true"}}
  annotations: {{zeron.dev/scaling: external}}
spec:
  target: {{service: web, port: 80}}
  rules: [{{hosts: [web.example]}}]
  scalingMetric: {{concurrency: {{targetValue: 1}}}}
"#
    ));
}

/// KEDA's own object: three replicas while there is work, none otherwise.
fn add_scaled_object(namespace: &Namespace, scaler: SocketAddr, kind: &str, function: &str) {
    let bounds = "idleReplicaCount: 0, minReplicaCount: 3, maxReplicaCount: 5";
    add_bounded(namespace, scaler, kind, function, bounds);
}

fn add_bounded(
    namespace: &Namespace,
    scaler: SocketAddr,
    kind: &str,
    function: &str,
    bounds: &str,
) {
    namespace.apply(&format!(
        r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: web}}
spec: {{scaleTargetRef: {{name: web}}, pollingInterval: 5, cooldownPeriod: 5, {bounds}, triggers: [{{
  type: {kind},
  metadata: {{scalerAddress: "{scaler}", function: {function}, metric: concurrency, target: "1"}},
}}]}}
"#
    ));
}

/// An autoscaler of ours that answers there.
fn start(namespace: &Namespace, scaler: SocketAddr) -> zeron_tests::cluster::Installation {
    let address = scaler.to_string();
    Roles::of(namespace)
        .autoscaler_args(&["--external-scaler-listen", &address])
        .start()
}

#[test]
fn keda_wakes_a_function_of_ours_from_zero_by_a_push_and_lets_it_sleep_again() {
    const TEST: &str = "keda_wakes_a_function_of_ours_from_zero_by_a_push_and_lets_it_sleep_again";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let Some(binary) = keda::binary(TEST) else {
        return;
    };
    cluster.install_crds();
    let namespace = &cluster.namespace("external");
    add_function(namespace);
    let audit = cluster.audit();
    let scaler = free_address();
    let _keda = Keda::start(&binary, namespace, &[]);
    let zeron = start(namespace, scaler);
    add_scaled_object(namespace, scaler, "external-push", "web");
    namespace.wait_condition(SCALED, "web", "Ready", "True");
    namespace.wait(SCALED, "web", "to have its metric", |object| {
        let names = object["status"]["externalMetricNames"].as_array()?;
        names
            .iter()
            .any(|name| name == "s0-zeron-concurrency-deployment-web")
            .then_some(())
    });
    assert_eq!(namespace.replicas(DEPLOYMENT, "web"), 0);

    for round in 1..=2 {
        let begin = Instant::now();
        let answer = zeron.get("web.example", "/");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("this is web"), "{}", answer.text());
        println!(
            "round {round}: held for {:?} until KEDA had woken it",
            begin.elapsed()
        );
        namespace.wait_replicas(DEPLOYMENT, "web", 3);
        namespace.wait_replicas(DEPLOYMENT, "web", 0);
        namespace.wait_pods("app=web", 0);
    }
    if let Some(audit) = audit {
        let writes = audit.scale_writes(namespace.name(), "web");
        assert!(writes.len() >= 4, "{writes:#?}");
        let ours = writes.iter().filter(|it| it.user_agent().contains("zeron"));
        assert_eq!(ours.count(), 0, "KEDA alone writes: {writes:#?}");
    }
}

#[test]
fn keda_polls_a_function_of_ours_and_says_what_is_wrong_with_others() {
    const TEST: &str = "keda_polls_a_function_of_ours_and_says_what_is_wrong_with_others";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let Some(binary) = keda::binary(TEST) else {
        return;
    };
    cluster.install_crds();
    let namespace = &cluster.namespace("external-poll");
    add_function(namespace);
    let scaler = free_address();
    let _keda = Keda::start(&binary, namespace, &[]);
    let zeron = start(namespace, scaler);
    // Another namespace's functions are none of its business, and there is none of the second name.
    for function in ["kube-system/Deployment/web", "nobody"] {
        add_scaled_object(namespace, scaler, "external", function);
        namespace.wait_condition(SCALED, "web", "Ready", "False");
        assert_eq!(namespace.replicas(DEPLOYMENT, "web"), 0);
    }
    add_scaled_object(namespace, scaler, "external", "web");
    namespace.wait_condition(SCALED, "web", "Ready", "True");
    let answer = zeron.get("web.example", "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    namespace.wait_replicas(DEPLOYMENT, "web", 0);
}

#[test]
fn kedas_autoscaler_follows_our_number_of_requests() {
    const TEST: &str = "kedas_autoscaler_follows_our_number_of_requests";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let Some(operator) = keda::binary(TEST) else {
        return;
    };
    let Some(binary) = adapter::binary(&operator) else {
        zeron_tests::broker::skip(
            TEST,
            "KEDA's metrics adapter is not built (cargo xtask cluster keda --adapter)",
        );
        return;
    };
    cluster.install_crds();
    let namespace = &cluster.namespace("external-load");
    add_function(namespace);
    let scaler = free_address();
    let keda = Keda::start(&operator, namespace, &[]);
    let _adapter = Adapter::start(&binary, &keda, namespace);
    let zeron = start(namespace, scaler);
    let bounds = "minReplicaCount: 0, maxReplicaCount: 8";
    add_bounded(namespace, scaler, "external-push", "web", bounds);
    namespace.wait_condition(SCALED, "web", "Ready", "True");
    let is_enough = AtomicBool::new(false);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_enough.load(Ordering::Relaxed) {
                    let answer = zeron.get("web.example", "/work?ms=1500");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
        // Four requests in flight, one for each replica.
        let followed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // KEDA's autoscaler looks each quarter of a minute, and may double at most.
            within(Duration::from_secs(180), "four replicas", || {
                (namespace.replicas(DEPLOYMENT, "web") == 4).then_some(())
            });
        }));
        println!("four replicas after {:?}", begin.elapsed());
        is_enough.store(true, Ordering::Relaxed);
        if let Err(panic) = followed {
            std::panic::resume_unwind(panic);
        }
    });
    namespace.wait_replicas(DEPLOYMENT, "web", 0);
}
