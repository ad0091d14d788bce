//! A ResourceQuota makes fewer pods than were asked for: that is said, what there is serves, and the rest comes later.

use serde_json::json;
use zeron_tests::cluster::{Cluster, Roles};

use super::declare::{Scaled, function};
use super::site::{DEPLOYMENT, SCALED, kafka, topic};

#[test]
fn seven_of_ten_under_a_quota_are_said_and_made_good_when_it_is_lifted() {
    const TEST: &str = "seven_of_ten_under_a_quota_are_said";
    let Some(broker) = kafka(TEST) else { return };
    let Some(cluster) = Cluster::get(&format!("kubernetes::{TEST}")) else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("kubernetes-quota");
    let _roles = Roles::of(&namespace).activators(0).start();
    namespace.apply("{ apiVersion: v1, kind: ResourceQuota, metadata: { name: seven }, spec: { hard: { pods: 7 } } }");
    namespace.wait("v1/ResourceQuota", "seven", "to be in force", |quota| {
        (quota["status"]["hard"]["pods"] == "7").then_some(())
    });
    topic(broker, "many", 1).produce(100);
    function(&namespace, "many", 0);
    namespace.apply(&Scaled::new("many", broker).yaml());
    namespace.wait_replicas(DEPLOYMENT, "many", 10);
    let seven = namespace.wait_pods("app=many", 7);
    namespace.wait_reason(SCALED, "many", ["WritesBlocked", "True", "QuotaExceeded"]);
    namespace.wait(SCALED, "many", "to say seven of ten", |object| {
        let conditions = object["status"]["conditions"].as_array()?;
        let blocked = conditions.iter().find(|c| c["type"] == "WritesBlocked")?;
        let message = blocked["message"].as_str()?;
        (message.contains("7 of 10") && message.contains("exceeded quota")).then_some(())
    });
    namespace.patch(
        "v1/ResourceQuota",
        "seven",
        json!({ "spec": { "hard": { "pods": "20" } } }),
    );
    namespace.wait("v1/ResourceQuota", "seven", "to be lifted", |quota| {
        (quota["status"]["hard"]["pods"] == "20").then_some(())
    });
    // Kubernetes tries again after minutes, or at the next thing that happens to a pod: each of the
    // seven that got ready meanwhile doubled its pause.
    let name = seven[0]["metadata"]["name"].as_str().unwrap();
    namespace.delete("v1/Pod", name);
    namespace.wait_pods("app=many", 10);
    namespace.wait_condition(SCALED, "many", "WritesBlocked", "False");
    assert_eq!(namespace.replicas(DEPLOYMENT, "many"), 10);
}
