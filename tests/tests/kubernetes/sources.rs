//! What a trigger may ask in a cluster: every endpoint of a Service, and by policy nobody of another namespace.

use zeron_tests::cluster::{Cluster, Namespace, Roles};

use super::declare::function;
use super::site::{DEPLOYMENT, SCALED, SERVICE, Site};

/// A ScaledObject with one replica for each request that a server says to have in flight: that for the number.
fn scaled(name: &str, url: &str, more: &str) -> String {
    format!(
        "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{ name: {name} }}
spec:
  scaleTargetRef: {{ name: {name} }}
  pollingInterval: 1
  cooldownPeriod: 3
  triggers:
    - type: metrics-api
      metadata: {{ url: '{url}', valueLocation: in_flight, targetValue: '1', {more} }}
"
    )
}

#[test]
fn every_endpoint_of_a_service_is_asked() {
    let Some(site) = Site::get("every_endpoint_of_a_service_is_asked") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "counting", 3);
    namespace.wait_pods("app=counting", 3);
    let url = format!("http://counting.{}.svc/stats", namespace.name());
    function(namespace, "gathered", 0);
    let sum = "aggregateFromKubeServiceEndpoints: 'true', aggregationType: sum";
    namespace.apply(&scaled("gathered", &url, sum));
    namespace.wait_replicas(DEPLOYMENT, "gathered", 3);
    // None is ready: unknown, and nothing is scaled in.
    namespace.scale(DEPLOYMENT, "counting", 0);
    namespace.wait_reason(SCALED, "gathered", ["Ready", "False", "TriggerError"]);
    assert_eq!(namespace.replicas(DEPLOYMENT, "gathered"), 3);
}

/// Where a Service of this namespace is reached by processes of this machine, which do not know its name.
fn cluster_url(namespace: &Namespace, service: &str) -> String {
    let service = namespace.get(SERVICE, service).unwrap();
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    format!("http://{address}/stats")
}

/// The same for the one pod behind it.
fn pod_url(namespace: &Namespace, labels: &str) -> String {
    let pods = namespace.wait_pods(labels, 1);
    let address = pods[0]["status"]["podIP"].as_str().unwrap();
    format!("http://{address}:8080/stats")
}

#[test]
fn triggers_reach_no_service_of_another_namespace_where_the_operator_says_so() {
    let Some(cluster) = Cluster::get("kubernetes::triggers_reach_no_service_of_another_namespace")
    else {
        return;
    };
    cluster.install_crds();
    let shop = cluster.namespace("kubernetes-shop");
    let broker = cluster.namespace("kubernetes-broker");
    for (namespace, name) in [(&shop, "own"), (&broker, "stats")] {
        function(namespace, name, 1);
        namespace.wait_pods(&format!("app={name}"), 1);
    }
    let urls = [
        ("inside", cluster_url(&shop, "own")),
        ("by-service", cluster_url(&broker, "stats")),
        ("by-pod", pod_url(&broker, "app=stats")),
    ];
    for (name, url) in &urls {
        function(&shop, name, 0);
        shop.apply(&scaled(name, url, ""));
    }
    let roles = |more: &[&str]| {
        let policy = [&["--trigger-addresses", "own-namespace"], more].concat();
        Roles::of(&shop)
            .activators(0)
            .autoscaler_args(&policy)
            .start()
    };
    let strict = roles(&[]);
    shop.wait_replicas(DEPLOYMENT, "inside", 1);
    for name in ["by-service", "by-pod"] {
        shop.wait_condition(SCALED, name, "Ready", "False");
        assert_eq!(shop.replicas(DEPLOYMENT, name), 0, "{name}");
    }
    drop(strict);
    let _open = roles(&["--trigger-addresses-of", broker.name()]);
    for name in ["by-service", "by-pod"] {
        shop.wait_replicas(DEPLOYMENT, name, 1);
        shop.wait_condition(SCALED, name, "Ready", "True");
    }
}
