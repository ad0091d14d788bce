//! zeron beside a KEDA that lives on: labelled objects are ours, the rest is KEDA's, and no target
//! has two writers.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with the take-over's tests")]
#[path = "kubernetes_takeover/keda.rs"]
mod keda;
#[allow(dead_code, reason = "shared with the take-over's tests")]
#[path = "kubernetes_takeover/scene.rs"]
mod scene;

use serde_json::{Value, json};
use zeron_tests::cluster::{Audit, Cluster, Roles};

use keda::Keda;
use scene::{AUTOSCALER, DEPLOYMENT, Import, SCALED, Scene};

/// What KEDA's operator leaves alone.
const EXCLUDED: [(&str, &str); 1] = [("WATCH_LABEL_SELECTOR", "zeron.dev/manage notin (true)")];

fn conditions(object: &Value) -> String {
    object["status"]["conditions"].to_string()
}

/// The programs that wrote the replica count of a Deployment.
fn writers(audit: &Audit, namespace: &str, name: &str) -> Vec<String> {
    let writes = audit.scale_writes(namespace, name);
    let mut agents: Vec<String> = writes.iter().map(|w| w.user_agent().to_owned()).collect();
    agents.sort();
    agents.dedup();
    agents
}

#[test]
fn labelled_objects_are_ours_and_the_rest_is_kedas_and_no_target_has_two_writers() {
    const TEST: &str =
        "labelled_objects_are_ours_and_the_rest_is_kedas_and_no_target_has_two_writers";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let Some(binary) = keda::binary(TEST) else {
        return;
    };
    let scene = Scene::new(cluster, "beside");
    let namespace = &scene.namespace;
    scene.add_function("theirs", 3);
    let audit = cluster.audit();
    let _keda = Keda::start(&binary, namespace, &EXCLUDED);
    let _roles = Roles::of(namespace).start();
    for autoscaler in ["keda-hpa-web", "keda-hpa-theirs"] {
        namespace.wait(
            AUTOSCALER,
            autoscaler,
            "to be made by KEDA",
            scene::is_there,
        );
    }
    // Only `web` is to be ours: what has a trigger that is not built in stays with KEDA.
    let graphite = json!([
        { "type": "cpu", "metricType": "Utilization", "metadata": { "value": "90" } },
        { "type": "graphite", "metadata": {
            "serverAddress": "http://127.0.0.1:9", "query": "stats.orders",
            "queryTime": "-10Minutes", "threshold": "100",
        } },
    ]);
    namespace.patch(
        SCALED,
        "theirs",
        json!({ "spec": { "triggers": graphite } }),
    );
    let said = Import::start(&scene, &["import", "keda", "--beside", "--apply"]).output();
    assert!(said.contains("left to KEDA"), "{said}");

    namespace.wait_gone(AUTOSCALER, "keda-hpa-web");
    assert!(namespace.get(AUTOSCALER, "keda-hpa-theirs").is_some());
    let label = |name: &str| {
        namespace.get(SCALED, name).unwrap()["metadata"]["labels"]["zeron.dev/manage"].clone()
    };
    assert_eq!(label("web"), "true");
    assert!(label("theirs").is_null());

    // Each raises its own: a minimum is written by whoever scales.
    for name in ["web", "theirs"] {
        namespace.patch(SCALED, name, json!({ "spec": { "minReplicaCount": 4 } }));
    }
    namespace.wait_replicas(DEPLOYMENT, "web", 4);
    namespace.wait_replicas(DEPLOYMENT, "theirs", 4);
    assert!(
        namespace.get(AUTOSCALER, "keda-hpa-web").is_none(),
        "KEDA leaves ours alone"
    );
    if let Some(audit) = audit {
        let (ours, theirs) = (
            writers(&audit, namespace.name(), "web"),
            writers(&audit, namespace.name(), "theirs"),
        );
        assert_eq!(ours.len(), 1, "one writer of ours: {ours:?}");
        let is_shared = theirs.iter().any(|writer| ours.contains(writer));
        assert!(!is_shared, "ours {ours:?}, theirs {theirs:?}");
    }
}

#[test]
fn a_foreign_autoscaler_on_a_target_of_ours_is_named_in_a_condition_and_not_fought() {
    const TEST: &str =
        "a_foreign_autoscaler_on_a_target_of_ours_is_named_in_a_condition_and_not_fought";
    let Some(cluster) = Cluster::get(TEST) else {
        return;
    };
    let scene = Scene::new(cluster, "foreign");
    let namespace = &scene.namespace;
    let _roles = Roles::of(namespace).start();
    namespace.wait_condition(SCALED, "web", "Ready", "True");
    namespace.apply(
        r#"
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: by-hand}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 9
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 90}}}]
"#,
    );
    namespace.wait(SCALED, "web", "to name the foreign autoscaler", |object| {
        conditions(object).contains("by-hand").then_some(())
    });
    namespace.patch(SCALED, "web", json!({ "spec": { "minReplicaCount": 3 } }));
    // Its status says that the new minimum was seen; the count is the other's to write.
    namespace.wait(SCALED, "web", "to keep naming it", |object| {
        (object["metadata"]["generation"].as_u64() > Some(1)
            && conditions(object).contains("by-hand"))
        .then_some(())
    });
    assert_eq!(namespace.replicas(DEPLOYMENT, "web"), 2);
    namespace.delete(AUTOSCALER, "by-hand");
    namespace.wait_replicas(DEPLOYMENT, "web", 3);
    namespace.wait(
        SCALED,
        "web",
        "to forget the foreign autoscaler",
        |object| (!conditions(object).contains("by-hand")).then_some(()),
    );
}
