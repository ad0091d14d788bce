//! The definitions on a real API server: what it takes, defaults and refuses.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Place, http_scaled_object, in_cluster, scaled_object};

fn changed(mut object: Value, path: &str, value: Value) -> Value {
    let (parent, name) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[name] = value;
    object
}

async fn refused(place: &Place, path: &str, object: &Value, words: &str) {
    let refusal = place.create(path, object).await.unwrap_err();
    assert!(refusal.contains(words), "{refusal}");
}

#[tokio::test]
async fn the_api_server_checks_scaled_objects_as_with_the_originals_definition() {
    let name = "the_api_server_checks_scaled_objects_as_with_the_originals_definition";
    in_cluster(name, |place| async move {
        let path = place.scaled_objects();
        let good = scaled_object("good", "app");
        place.create(&path, &good).await.unwrap();
        let named = |name: &str| changed(good.clone(), "/metadata/name", json!(name));
        let above = changed(named("a"), "/spec/minReplicaCount", json!(101));
        refused(&place, &path, &above, "minReplicaCount must be less than or equal to").await;
        let none = changed(named("b"), "/spec/triggers", json!([]));
        refused(&place, &path, &none, "spec.triggers").await;
        let number = changed(named("c"), "/spec/triggers/0/metadata", json!({"lag": 5}));
        refused(&place, &path, &number, "lag").await;
        let fallback = json!({"failureThreshold": 3, "replicas": 1});
        let made = changed(named("d"), "/spec/fallback", fallback);
        let made = place.create(&path, &made).await.unwrap();
        assert_eq!(made["spec"]["fallback"]["behavior"], "static");
        let odd = json!({"failureThreshold": 3, "replicas": 1, "behavior": "guess"});
        let odd = changed(named("e"), "/spec/fallback", odd);
        refused(&place, &path, &odd, "behavior").await;
        let tolerance = json!({"horizontalPodAutoscalerConfig": {"behavior": {
            "scaleDown": {"tolerance": "50m", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]},
            "scaleUp": {"tolerance": 1},
        }}});
        let behavior = changed(named("f"), "/spec/advanced", tolerance);
        place.create(&path, &behavior).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_api_server_checks_http_objects_and_keeps_old_fields() {
    let name = "the_api_server_checks_http_objects_and_keeps_old_fields";
    in_cluster(name, |place| async move {
        let path = place.http_scaled_objects();
        let mut old = http_scaled_object("old", "app");
        old["spec"]["scaleTargetRef"] = json!({"deployment": "app", "service": "app", "port": 80});
        let made = place.create(&path, &old).await.unwrap();
        assert_eq!(made["spec"]["scaleTargetRef"]["deployment"], "app");
        let mut both = http_scaled_object("both", "app");
        both["spec"]["scaleTargetRef"]["portName"] = json!("http");
        refused(&place, &path, &both, "must define either the 'portName' or the 'port'").await;
        let mut rate = http_scaled_object("rate", "app");
        rate["spec"]["scalingMetric"] = json!({"requestRate": {}});
        let made = place.create(&path, &rate).await.unwrap();
        let defaults = json!({"targetValue": 100, "window": "1m", "granularity": "1s"});
        assert_eq!(made["spec"]["scalingMetric"]["requestRate"], defaults);
        let routes = place.path("http.keda.sh/v1beta1", "interceptorroutes");
        let route = json!({
            "apiVersion": "http.keda.sh/v1beta1",
            "kind": "InterceptorRoute",
            "metadata": {"name": "r"},
            "spec": {
                "target": {"service": "app", "port": 80},
                "scalingMetric": {"concurrency": {"targetValue": 10}},
                "coldStart": {"placeholder": {"response": {"body": "wait"}}},
                "staticRoutes": [{"rules": [{"paths": [{"value": "/up"}]}], "response": {"body": "ok"}}],
            },
        });
        let made = place.create(&routes, &route).await.unwrap();
        assert_eq!(made["spec"]["coldStart"]["placeholder"]["response"]["statusCode"], 503);
        assert_eq!(made["spec"]["staticRoutes"][0]["responseMode"], "WhenUnavailable");
        let neither = changed(route, "/spec/scalingMetric", json!({}));
        let neither = changed(neither, "/metadata/name", json!("n"));
        refused(&place, &routes, &neither, "at least one of 'concurrency' or 'requestRate'").await;
    })
    .await;
}

#[tokio::test]
async fn a_scaled_job_keeps_the_whole_job_and_authentications_their_defaults() {
    let name = "a_scaled_job_keeps_the_whole_job_and_authentications_their_defaults";
    in_cluster(name, |place| async move {
        let job = json!({
            "template": {"spec": {"containers": [{"name": "a", "image": "b"}], "restartPolicy": "Never"}},
            "backoffLimit": 4,
        });
        let object = json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob", "metadata": {"name": "j"},
            "spec": {"jobTargetRef": job, "triggers": [{"type": "kafka", "metadata": {}}]},
        });
        let path = place.path("keda.sh/v1alpha1", "scaledjobs");
        let made = place.create(&path, &object).await.unwrap();
        assert_eq!(made["spec"]["jobTargetRef"], job);
        let path = place.path("keda.sh/v1alpha1", "triggerauthentications");
        let object = json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication",
            "metadata": {"name": "t"},
            "spec": {"oauth2": {"clientId": "a", "tokenUrl": "https://example.com"}},
        });
        let made = place.create(&path, &object).await.unwrap();
        assert_eq!(made["spec"]["oauth2"]["type"], "clientCredentials");
    })
    .await;
}
