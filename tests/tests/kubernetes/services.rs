//! Callers inside the cluster: a Service's own name, and the HTTP add-on's.

use serde_json::{Value, json};
use zeron_tests::cluster::{Cluster, Namespace, Roles};
use zeron_tests::until;

use super::declare::{example, function, http_scaled};
use super::http::header;
use super::site::{DEPLOYMENT, HTTP_SCALED, SERVICE, Site};

/// The activators' port, by our manifests.
const ACTIVATOR_PORT: u16 = 8080;

/// A pod with this machine's programs, so that it has curl.
fn client(namespace: &Namespace) {
    let image = super::site::image(namespace);
    namespace.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{ name: client, labels: {{ app: client }} }}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: client
      image: {image}
      imagePullPolicy: Never
      command: [/usr/bin/sleep, infinity]
      volumeMounts:
        - {{ name: usr, mountPath: /usr, readOnly: true }}
        - {{ name: lib, mountPath: /lib, readOnly: true }}
        - {{ name: lib64, mountPath: /lib64, readOnly: true }}
  volumes:
    - {{ name: usr, hostPath: {{ path: /usr }} }}
    - {{ name: lib, hostPath: {{ path: /usr/lib }} }}
    - {{ name: lib64, hostPath: {{ path: /usr/lib64 }} }}
"
    ));
    namespace.wait_pods("app=client", 1);
}

/// What a pod is answered when it asks for a URL.
fn ask(namespace: &Namespace, url: &str, more: &[&str]) -> Result<String, String> {
    let curl = [
        "exec",
        "client",
        "--",
        "/usr/bin/curl",
        "-sS",
        "-m",
        "90",
        "--fail-with-body",
    ];
    let arguments = [&["-n", namespace.name()], &curl[..], more, &[url]].concat();
    namespace.cluster().try_kubectl(&arguments)
}

#[test]
fn a_pod_wakes_an_opted_in_service_by_its_own_name_at_zero_and_at_n() {
    let Some(site) = Site::get("a_pod_wakes_an_opted_in_service_by_its_own_name") else {
        return;
    };
    let namespace = &site.namespace;
    namespace.apply(&example!(namespace, "service.yaml"));
    client(namespace);
    namespace.wait(
        SERVICE,
        "backend",
        "to lead to activators",
        |service: &Value| {
            let is_active =
                service["metadata"]["annotations"]["zeron.dev/activator-status"] == "Active";
            (is_active && service["spec"]["selector"].is_null()).then_some(())
        },
    );
    namespace.wait_replicas(DEPLOYMENT, "backend", 0);
    namespace.wait_pods("app=backend", 0);
    let echo = until("the proxy of Services to follow", || {
        ask(namespace, "http://backend/echo", &[]).ok()
    });
    let echo: Value = serde_json::from_str(&echo).unwrap();
    assert_eq!(header(&echo, "host"), ["backend"]);
    assert_eq!(namespace.replicas(DEPLOYMENT, "backend"), 1);
    let full = format!("http://backend.{}.svc.cluster.local/", namespace.name());
    assert_eq!(
        ask(namespace, &full, &[]).unwrap().trim(),
        "Hello",
        "at one"
    );
    namespace.wait_replicas(DEPLOYMENT, "backend", 0);
    assert_eq!(
        ask(namespace, "http://backend/", &[]).unwrap().trim(),
        "Hello",
        "at zero again"
    );
}

#[test]
fn an_http_scaled_object_is_addressable_for_eventing() {
    let Some(site) = Site::get("an_http_scaled_object_is_addressable") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "addressed", 0);
    namespace.apply(&http_scaled("addressed", "", ""));
    let wait_address = |url: &str| {
        namespace.wait(HTTP_SCALED, "addressed", "to have its address", |object| {
            (object["status"]["address"]["url"] == url).then_some(())
        });
    };
    wait_address("http://addressed.example");
    let opted = json!({ "metadata": { "annotations": { "zeron.dev/activator": "true" } } });
    namespace.patch(SERVICE, "addressed", opted);
    let url = format!("http://addressed.{}.svc", namespace.name());
    wait_address(&url);
    client(namespace);
    let event = [
        "-H",
        "Content-Type: application/json",
        "-H",
        "Ce-Id: 1",
        "-H",
        "Ce-Specversion: 1.0",
        "-H",
        "Ce-Type: order",
        "-H",
        "Ce-Source: /shop",
        "-d",
        "{}",
    ];
    let echo = until("the event to be delivered", || {
        ask(namespace, &format!("{url}/echo"), &event).ok()
    });
    let echo: Value = serde_json::from_str(&echo).unwrap();
    assert_eq!(header(&echo, "ce-type"), ["order"]);
}

#[test]
fn the_add_ons_service_name_leads_to_the_activators() {
    let Some(cluster) = Cluster::get("kubernetes::the_add_ons_service_name") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("kubernetes-alias");
    namespace.stand_in("activator-0", cluster.host_address());
    function(&namespace, "aliased", 0);
    namespace.apply(&http_scaled("aliased", "", ""));
    let roles = Roles::of(&namespace)
        .for_pods()
        .activator_port(ACTIVATOR_PORT)
        .controller_args(&["--alias-namespace", namespace.name()])
        .start();
    client(&namespace);
    let exists = |object: &Value| (!object.is_null()).then(|| object["spec"].clone());
    let proxy = "keda-add-ons-http-interceptor-proxy";
    let spec = namespace.wait(SERVICE, proxy, "to be made", exists);
    assert_eq!(spec["ports"][0]["port"], json!(8080));
    let url = format!("http://{proxy}:8080/");
    let answer = until("the alias to be followed", || {
        ask(&namespace, &url, &["-H", "Host: aliased.example"]).ok()
    });
    assert_eq!(answer.trim(), "Hello");
    drop(roles);
}
