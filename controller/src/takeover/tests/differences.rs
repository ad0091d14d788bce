//! What is said about objects before anything is done.

use serde_json::json;

use super::world::{import, kafka, object, request, scaled_object, survey};
use crate::takeover::{Finding, Kind, Level, Object, Survey};

fn findings(object: Object) -> Vec<Finding> {
    let cluster = Survey {
        objects: vec![object],
        ..survey()
    };
    import(&cluster, &request()).findings
}

fn topics(object: Object) -> Vec<&'static str> {
    findings(object).iter().map(|f| f.topic).collect()
}

fn with(mut object: Object, pointer: &str, value: serde_json::Value) -> Object {
    let mut place = &mut object.value;
    for part in pointer.split('/').skip(1) {
        place = &mut place[part.replace("~1", "/")];
    }
    *place = value;
    object
}

#[test]
fn a_plain_scaled_object_differs_by_its_missing_autoscaler_and_in_one_step() {
    let topics = topics(kafka("orders"));
    assert!(topics.contains(&"no-autoscaler"), "{topics:?}");
    assert!(topics.contains(&"one-step"));
}

#[test]
fn a_behavior_is_honoured_and_then_there_is_no_single_step() {
    let behavior = "/spec/advanced/horizontalPodAutoscalerConfig/behavior";
    let topics = topics(with(kafka("orders"), behavior, json!({ "scaleUp": {} })));
    assert!(topics.contains(&"behavior"));
    assert!(!topics.contains(&"one-step"));
}

#[test]
fn settings_of_the_autoscaler_are_named_as_without_effect() {
    let named = with(
        kafka("orders"),
        "/spec/advanced/horizontalPodAutoscalerConfig/name",
        json!("mine"),
    );
    let named = with(
        named,
        "/metadata/annotations/scaledobject.keda.sh~1hpa-excluded-labels",
        json!("a,b"),
    );
    let topics = topics(named);
    assert!(topics.contains(&"autoscaler-name"));
    assert!(topics.contains(&"excluded-labels"));
}

#[test]
fn a_container_trigger_beside_a_formula_counts_again() {
    let triggers = json!([
        { "type": "kafka", "name": "k", "metadata": {} },
        { "type": "cpu", "metadata": { "value": "50", "containerName": "app" } },
    ]);
    let scaled = scaled_object("orders", &triggers);
    let formula = with(
        scaled,
        "/spec/advanced/scalingModifiers/formula",
        json!("k"),
    );
    assert!(topics(formula).contains(&"formula"));
}

#[test]
fn sources_of_an_authentication_that_are_not_read_are_named() {
    let trigger = json!([{
        "type": "kafka", "metadata": {}, "authenticationRef": { "name": "vault" },
    }]);
    let authentication = object(
        Kind::TriggerAuthentication,
        "shop",
        "vault",
        json!({ "spec": {
            "azureKeyVault": {}, "secretTargetRef": [], "podIdentity": { "provider": "none" },
        } }),
    );
    let cluster = Survey {
        objects: vec![scaled_object("orders", &trigger), authentication],
        ..survey()
    };
    let findings = import(&cluster, &request()).findings;
    let found = findings
        .iter()
        .find(|f| f.topic == "authentication")
        .unwrap();
    assert!(found.text.contains("azureKeyVault"));
    assert!(!found.text.contains("podIdentity"));
    let secrets = findings.iter().find(|f| f.topic == "secrets").unwrap();
    assert!(secrets.text.contains("zeron grant shop"));
}

#[test]
fn a_foreign_autoscaler_is_named() {
    let mut cluster = survey();
    cluster.autoscalers.push(object(
        Kind::HorizontalPodAutoscaler,
        "shop",
        "by-hand",
        json!({ "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "orders" } } }),
    ));
    let plan = import(&cluster, &request());
    let found = plan
        .findings
        .iter()
        .find(|f| f.topic == "foreign-autoscaler")
        .unwrap();
    assert!(found.text.contains("shop/by-hand"));
}

#[test]
fn a_definition_of_a_helm_release_says_how_not_to_lose_its_objects() {
    let definition = object(
        Kind::CustomResourceDefinition,
        "",
        "scaledobjects.keda.sh",
        json!({
            "metadata": { "annotations": {
                "meta.helm.sh/release-name": "keda", "meta.helm.sh/release-namespace": "keda",
            } },
            "spec": { "group": "keda.sh", "names": { "kind": "ScaledObject" } },
        }),
    );
    let cluster = Survey {
        definitions: vec![definition],
        ..survey()
    };
    let plan = import(&cluster, &request());
    let found = plan
        .findings
        .iter()
        .find(|f| f.topic == "definition")
        .unwrap();
    assert_eq!(found.level, Level::Warning);
    assert!(found.text.contains("(2 now)"), "{}", found.text);
    assert!(found.text.contains("helm.sh/resource-policy=keep"));
}

#[test]
fn an_api_service_left_behind_is_warned_of() {
    let service = object(
        Kind::ApiService,
        "",
        "v1beta1.external.metrics.k8s.io",
        json!({}),
    );
    let cluster = Survey {
        registrations: vec![service],
        ..survey()
    };
    let plan = import(&cluster, &request());
    assert!(
        plan.findings
            .iter()
            .any(|f| f.topic == "registration" && f.level == Level::Warning)
    );
}

#[test]
fn an_event_source_with_a_finalizer_would_hang() {
    let source = object(
        Kind::CloudEventSource,
        "shop",
        "events",
        json!({ "metadata": { "finalizers": ["finalizer.keda.sh"] } }),
    );
    assert!(topics(source).contains(&"finalizer"));
}

#[test]
fn a_part_that_argo_writes_back_is_warned_of() {
    let mut cluster = survey();
    cluster.parts[0].value["metadata"]["annotations"] =
        json!({ "argocd.argoproj.io/tracking-id": "keda:apps/Deployment:keda/keda-operator" });
    let plan = import(&cluster, &request());
    let found = plan
        .findings
        .iter()
        .find(|f| f.topic == "declared-elsewhere")
        .unwrap();
    assert!(found.text.contains("Argo CD"));
}
