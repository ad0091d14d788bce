//! Targets other than Deployments: whatever has a `/scale`.

use serde_json::Value;
use zeron_tests::cluster::Cluster;

use super::declare::{Scaled, example};
use super::site::{SCALED, STATEFUL_SET, Site, image, topic};

const CRD: &str = "apiextensions.k8s.io/v1/CustomResourceDefinition";
const FLEET: &str = "test.zeron.dev/v1/Fleet";

#[test]
fn a_stateful_set_wakes_on_a_request_and_sleeps_again() {
    let Some(site) = Site::get("a_stateful_set_wakes_on_a_request") else {
        return;
    };
    let namespace = &site.namespace;
    namespace.apply(&example!(namespace, "stateful-set.yaml"));
    namespace.wait_replicas(STATEFUL_SET, "shelf", 0);
    namespace.wait_pods("app=shelf", 0);
    assert_eq!(site.roles.get("shelf.example.com", "/").status, 200);
    assert_eq!(namespace.replicas(STATEFUL_SET, "shelf"), 1);
    namespace.wait_replicas(STATEFUL_SET, "shelf", 0);
}

#[test]
fn a_replica_set_of_nobodys_is_scaled() {
    const REPLICA_SET: &str = "apps/v1/ReplicaSet";
    let Some((site, broker)) = Site::with_kafka("a_replica_set_of_nobodys_is_scaled") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "bare", 1).produce(20);
    let image = image(namespace);
    namespace.apply(&format!(
        "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{ name: bare }}
spec:
  replicas: 0
  selector: {{ matchLabels: {{ app: bare }} }}
  template:
    metadata: {{ labels: {{ app: bare }} }}
    spec: {{ containers: [{{ name: function, image: {image}, imagePullPolicy: Never }}] }}
"
    ));
    let target = "apiVersion: apps/v1, kind: ReplicaSet, name: bare";
    namespace.apply(&Scaled::new("bare", broker).target(target).yaml());
    namespace.wait_replicas(REPLICA_SET, "bare", 2);
    namespace.wait_condition(SCALED, "bare", "Ready", "True");
}

/// A kind of this test's own, which nothing but `/scale` makes a workload.
fn define_fleet(cluster: &Cluster) {
    cluster.apply(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: fleets.test.zeron.dev }
spec:
  group: test.zeron.dev
  scope: Namespaced
  names: { kind: Fleet, plural: fleets, singular: fleet }
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: { replicas: { type: integer } }
            status:
              type: object
              properties: { replicas: { type: integer }, selector: { type: string } }
      subresources:
        status: {}
        scale:
          specReplicasPath: .spec.replicas
          statusReplicasPath: .status.replicas
          labelSelectorPath: .status.selector
",
    );
}

#[test]
fn a_custom_resource_with_a_scale_is_scaled() {
    let Some((site, broker)) = Site::with_kafka("a_custom_resource_with_a_scale_is_scaled") else {
        return;
    };
    let namespace = &site.namespace;
    define_fleet(namespace.cluster());
    let is_served = |crd: &Value| {
        let conditions = crd["status"]["conditions"].as_array()?;
        let is_it = |c: &Value| c["type"] == "Established" && c["status"] == "True";
        conditions.iter().any(is_it).then_some(())
    };
    namespace.wait(CRD, "fleets.test.zeron.dev", "to be served", is_served);
    namespace.apply("{ apiVersion: test.zeron.dev/v1, kind: Fleet, metadata: { name: fleet }, spec: { replicas: 0 } }");
    let status = serde_json::json!({ "status": { "selector": "app=fleet", "replicas": 0 } });
    namespace.patch_part(FLEET, "fleet", "status", status);
    let topic = topic(broker, "fleet", 1);
    topic.produce(40);
    let target = "apiVersion: test.zeron.dev/v1, kind: Fleet, name: fleet";
    namespace.apply(&Scaled::new("fleet", broker).target(target).yaml());
    namespace.wait_replicas(FLEET, "fleet", 4);
    topic.consume_but("fleet", 0);
    namespace.wait_replicas(FLEET, "fleet", 0);
}
