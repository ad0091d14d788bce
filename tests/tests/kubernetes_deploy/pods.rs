//! The manifests at work: our processes as pods, with no more rights than they have there.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use zeron_tests::cluster::{Cluster, Namespace, Pods, Program};
use zeron_tests::load::Load;
use zeron_tests::wait::within;
use zeron_tests::{Raw, until};

const DEPLOYMENT: &str = "apps/v1/Deployment";
const SERVICE: &str = "v1/Service";
const COLD: Duration = Duration::from_secs(60);

fn function(namespace: &Namespace) {
    let image = namespace.cluster().image(Program::Function);
    namespace.apply(&format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: web }}
spec:
  replicas: 0
  selector: {{ matchLabels: {{ app: web }} }}
  template:
    metadata: {{ labels: {{ app: web }} }}
    spec:
      containers:
        - name: web
          image: {image}
          imagePullPolicy: Never
          ports: [{{ containerPort: 8080 }}]
---
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations: {{ zeron.dev/activator: \"true\" }}
spec:
  selector: {{ app: web }}
  ports: [{{ port: 80, targetPort: 8080 }}]
---
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {{ name: web }}
spec:
  hosts: [web.example.com]
  scaleTargetRef: {{ name: web, service: web, port: 80 }}
  replicas: {{ min: 0, max: 3 }}
"
    ));
}

/// One request to the Service's own address.
fn status(namespace: &Namespace) -> Option<u16> {
    let address = address(namespace);
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    let answer = Raw::try_connect(address)
        .ok()?
        .get("web", "/")
        .try_response();
    Some(answer.ok()?.status)
}

/// Of the Service that leads to the function.
fn address(namespace: &Namespace) -> SocketAddr {
    let service = namespace.get(SERVICE, "web").unwrap();
    let ip = service["spec"]["clusterIP"].as_str().unwrap();
    format!("{ip}:80").parse().unwrap()
}

fn annotation<'s>(service: &'s Value, key: &str) -> Option<&'s str> {
    service["metadata"]["annotations"][key].as_str()
}

#[test]
fn in_pods_the_api_server_asks_the_webhooks_and_refuses_what_they_refuse() {
    const SCALED: &str = "keda.sh/v1alpha1/ScaledObject";
    let test = "kubernetes_deploy::in_pods_the_api_server_asks_the_webhooks";
    let Some(cluster) = Cluster::get(test) else {
        return;
    };
    let namespace = cluster.namespace("deploy-webhooks");
    let _deployed = Pods::of(&namespace)
        .replicas("activator", 0)
        .replicas("autoscaler", 0)
        .deploy();
    let scaled = |name: &str| {
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": { "name": name, "namespace": namespace.name() },
            "spec": { "scaleTargetRef": { "name": "web" }, "triggers": [
                { "type": "kafka", "metadata": {
                    "bootstrapServers": "kafka:9092", "consumerGroup": "g", "topic": "t" } },
            ] },
        })
    };
    namespace.apply(&scaled("first").to_string());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("second.json");
    std::fs::write(&file, scaled("second").to_string()).unwrap();
    let file = file.to_str().unwrap();
    // The API server and kube-proxy learn of them at their own pace: until then everything passes.
    let refusal = until("a second ScaledObject of the target to be refused", || {
        let refusal = cluster.try_kubectl(&["create", "-f", file]).err();
        if refusal.is_none() {
            namespace.delete(SCALED, "second");
            namespace.wait_gone(SCALED, "second");
        }
        refusal
    });
    assert!(
        refusal.contains("keda.zeron.dev") && refusal.contains("ScaledObject first scales"),
        "{refusal}"
    );
    assert!(namespace.get(SCALED, "second").is_none());
}

#[test]
fn in_pods_an_opted_in_service_wakes_its_function_and_goes_back() {
    let test = "kubernetes_deploy::in_pods_an_opted_in_service_wakes_its_function_and_goes_back";
    let Some(cluster) = Cluster::get(test) else {
        return;
    };
    let namespace = cluster.namespace("deploy");
    // What leads to one that ends is written by the controller and by kube-proxy, one after the other.
    let pods = Pods::of(&namespace).replicas("activator", 2);
    let deployed = pods.activator_arg("--lame-duck=15s").deploy();
    function(&namespace);
    namespace.wait(SERVICE, "web", "to lead to the activators", |service| {
        let is_active = annotation(service, "zeron.dev/activator-status") == Some("Active");
        (is_active && service["spec"]["selector"].is_null()).then_some(())
    });
    assert_eq!(namespace.replicas(DEPLOYMENT, "web"), 0);
    within(COLD, "its own name wakes the function", || {
        status(&namespace).filter(|status| *status == 200)
    });
    assert!(namespace.replicas(DEPLOYMENT, "web") >= 1);

    let away = json!({ "metadata": { "annotations": { "zeron.dev/activator": null } } });
    namespace.patch(SERVICE, "web", away);
    namespace.wait(SERVICE, "web", "to lead to its pods again", |service| {
        let is_marked = annotation(service, "zeron.dev/activator-ports").is_some();
        (!is_marked && service["spec"]["selector"]["app"] == "web").then_some(())
    });
    until("the pods to answer", || {
        status(&namespace).filter(|status| *status == 200)
    });
    nothing_is_forbidden(&namespace);
    drop(deployed);
}

#[test]
fn activators_are_replaced_without_a_lost_request() {
    let test = "kubernetes_deploy::activators_are_replaced_without_a_lost_request";
    let Some(cluster) = Cluster::get(test) else {
        return;
    };
    let namespace = cluster.namespace("roll");
    // What leads to one that ends is written by the controller and by kube-proxy, one after the other.
    let pods = Pods::of(&namespace).replicas("activator", 2);
    let deployed = pods.activator_arg("--lame-duck=15s").deploy();
    function(&namespace);
    namespace.wait(SERVICE, "web", "to lead to the activators", |service| {
        (annotation(service, "zeron.dev/activator-status") == Some("Active")).then_some(())
    });
    within(COLD, "its own name wakes the function", || {
        status(&namespace).filter(|status| *status == 200)
    });
    let load = Load::fresh(address(&namespace), "web", 100);
    namespace.kubectl(&["rollout", "restart", "deployment/zeron-activator"]);
    let place = [
        "rollout",
        "status",
        "deployment/zeron-activator",
        "--timeout=120s",
    ];
    namespace.kubectl(&place);
    // The old pods are still ending: their callers are asked on.
    namespace.wait_pods("app.kubernetes.io/component=activator", 2);
    load.end().assert_all_answered("activators are replaced");
    drop(deployed);
}

/// What the manifests forgot to allow is in the logs.
fn nothing_is_forbidden(namespace: &Namespace) {
    for role in ["activator", "autoscaler", "controller"] {
        let labels = format!("--selector=app.kubernetes.io/component={role}");
        let log = namespace.kubectl(&["logs", &labels, "--tail=-1", "--prefix"]);
        let forbidden = log.lines().find(|line| {
            let line = line.to_lowercase();
            line.contains("forbidden") || line.contains(" cannot ")
        });
        // The definitions' owner may not have installed all kinds; rights are all there.
        assert_eq!(forbidden, None, "{role}");
    }
}
