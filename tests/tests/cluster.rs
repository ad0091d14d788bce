//! The test cluster itself: what other tests take for granted.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use zeron_tests::cluster::{Cluster, Namespace, Pods, Program, Roles};
use zeron_tests::{Raw, until};

const DEPLOYMENT: &str = "apps/v1/Deployment";

/// A Deployment of the example function with its Service.
fn function(namespace: &Namespace, replicas: u32) {
    let image = namespace.cluster().image(Program::Function);
    namespace.apply(&format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: fn }}
spec:
  replicas: {replicas}
  selector: {{ matchLabels: {{ app: fn }} }}
  template:
    metadata: {{ labels: {{ app: fn }} }}
    spec:
      containers:
        - name: fn
          image: {image}
          imagePullPolicy: Never
          ports: [{{ containerPort: 8080 }}]
---
apiVersion: v1
kind: Service
metadata: {{ name: fn }}
spec:
  selector: {{ app: fn }}
  ports: [{{ port: 80, targetPort: 8080 }}]
"
    ));
}

/// Whether a function answers there, now.
fn answers(address: &str) -> Option<()> {
    let address = address.parse().unwrap();
    std::net::TcpStream::connect(address).ok()?;
    let answer = Raw::try_connect(address)
        .ok()?
        .get("fn", "/")
        .try_response();
    let answer = answer.ok()?;
    (answer.status == 200).then_some(())
}

#[test]
fn pods_and_services_answer_this_machine() {
    let Some(cluster) = Cluster::get("cluster::pods_and_services_answer_this_machine") else {
        return;
    };
    let namespace = cluster.namespace("pods");
    function(&namespace, 2);
    for pod in namespace.wait_pods("app=fn", 2) {
        let ip = pod["status"]["podIP"].as_str().unwrap();
        until("the pod to answer", || answers(&format!("{ip}:8080")));
    }
    let service = namespace.get("v1/Service", "fn").unwrap();
    let ip = service["spec"]["clusterIP"].as_str().unwrap();
    until("the Service to answer", || answers(&format!("{ip}:80")));
}

#[test]
fn writes_of_replica_counts_are_logged_with_their_count() {
    let name = "cluster::writes_of_replica_counts_are_logged_with_their_count";
    let Some(cluster) = Cluster::get(name) else {
        return;
    };
    let Some(audit) = cluster.audit() else {
        return zeron_tests::broker::skip(name, "the API server's audit log is not here");
    };
    let namespace = cluster.namespace("audit");
    function(&namespace, 0);
    namespace.scale(DEPLOYMENT, "fn", 2);
    namespace.scale(DEPLOYMENT, "fn", 0);
    namespace.wait_replicas(DEPLOYMENT, "fn", 0);
    let writes = until("both writes to be logged", || {
        Some(audit.scale_writes(namespace.name(), "fn")).filter(|writes| writes.len() == 2)
    });
    let counts: Vec<_> = writes.iter().map(|write| write.replicas()).collect();
    assert_eq!(counts, [Some(2), Some(0)]);
    assert!(writes.iter().all(|write| write.code() == 200));
}

#[test]
fn a_service_account_has_its_own_rights_only() {
    let Some(cluster) = Cluster::get("cluster::a_service_account_has_its_own_rights_only") else {
        return;
    };
    let namespace = cluster.namespace("rights");
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = namespace.account("default", folder.path());
    let file = kubeconfig.to_str().unwrap();
    let refusal = cluster
        .try_kubectl(&["--kubeconfig", file, "get", "pods", "-A"])
        .unwrap_err();
    let account = format!("system:serviceaccount:{}:default", namespace.name());
    assert!(
        refusal.contains("Forbidden") && refusal.contains(&account),
        "{refusal}"
    );
}

#[test]
fn the_definitions_of_our_kinds_are_served() {
    let Some(cluster) = Cluster::api("cluster::the_definitions_of_our_kinds_are_served") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("kinds");
    let object = "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: so }
spec:
  scaleTargetRef: { name: fn }
  triggers:
    - type: cron
      metadata: { timezone: UTC, start: 0 6 * * *, end: 0 20 * * *, desiredReplicas: '2' }
";
    namespace.apply(object);
    let named = |list: &[Value]| (list.len() == 1).then(|| list[0]["spec"].clone());
    let spec = namespace.wait_list("keda.sh/v1alpha1/ScaledObject", "", "to be one", named);
    assert_eq!(spec["scaleTargetRef"]["name"], "fn");
    namespace.delete("keda.sh/v1alpha1/ScaledObject", "so");
    namespace.wait_gone("keda.sh/v1alpha1/ScaledObject", "so");
}

#[test]
fn the_roles_of_zeron_get_ready_as_host_processes() {
    let Some(cluster) = Cluster::get("cluster::the_roles_of_zeron_get_ready_as_host_processes")
    else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("roles");
    let mut zeron = Roles::of(&namespace).activators(2).start();
    assert_eq!(zeron.get("nobody.example", "/").status, 404);
    let second = &mut zeron.activators[1];
    second.kill();
    second.restart();
    assert_eq!(second.get("nobody.example", "/").status, 404);
}

#[test]
fn the_manifests_of_deploy_get_ready_as_pods() {
    let Some(cluster) = Cluster::get("cluster::the_manifests_of_deploy_get_ready_as_pods") else {
        return;
    };
    let namespace = cluster.namespace("deployed");
    let deployed = Pods::of(&namespace).replicas("activator", 2).deploy();
    let address = deployed.address();
    until("the Service to lead to an activator", || {
        std::net::TcpStream::connect(address).ok()
    });
    let answer = Raw::connect(address).get("nobody.example", "/").response();
    assert_eq!(answer.status, 404);
}
