//! What is refused, and what passes.

use serde_json::{Value, json};

use super::super::neighbours::{LookUp, Neighbours, Unknown};
use super::super::review::review;

/// What the namespace holds.
#[derive(Default)]
pub(super) struct Known(pub(super) Neighbours);

impl LookUp for Known {
    async fn neighbours(&self, _: &str, _: &Value) -> Result<Neighbours, Unknown> {
        Ok(self.0.clone())
    }
}

fn scaled_object(name: &str, trigger: &str) -> Value {
    let mut object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "scaleTargetRef": {"name": "app"},
            "triggers": [{"type": trigger, "metadata": {}}],
        },
    });
    if matches!(trigger, "cpu" | "memory") {
        let trigger = &mut object["spec"]["triggers"][0];
        trigger["metricType"] = json!("Utilization");
        trigger["metadata"]["value"] = json!("50");
    }
    object
}

pub(super) fn question(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u1", "operation": "CREATE", "namespace": "shop", "dryRun": false,
            "kind": {"group": "keda.sh", "version": "v1alpha1", "kind": object["kind"]},
            "object": object, "oldObject": null,
        },
    })
}

/// `Ok` with warnings, or the refusal.
async fn ask(question: &Value, known: Neighbours) -> Result<Vec<String>, String> {
    let answer = review(question, &Known(known)).await.unwrap();
    let response = &answer["response"];
    assert_eq!(response["uid"], "u1");
    if response["allowed"] == true {
        let warnings = response["warnings"].as_array().into_iter().flatten();
        return Ok(warnings.map(|w| w.as_str().unwrap().to_owned()).collect());
    }
    Err(response["status"]["message"].as_str().unwrap().to_owned())
}

async fn refused(object: &Value, known: Neighbours, words: &str) {
    let refusal = ask(&question(object), known).await.unwrap_err();
    assert!(refusal.contains(words), "{refusal}");
}

async fn passes(object: &Value, known: Neighbours) {
    ask(&question(object), known).await.unwrap();
}

fn beside(scaled_objects: Vec<Value>) -> Neighbours {
    Neighbours {
        scaled_objects,
        ..Neighbours::default()
    }
}

#[tokio::test]
async fn a_good_object_passes_without_warnings() {
    let object = scaled_object("a", "kafka");
    let warnings = ask(&question(&object), beside(vec![object.clone()])).await;
    assert_eq!(warnings, Ok(Vec::new()));
}

#[tokio::test]
async fn a_second_scaled_object_on_the_target_is_refused_but_the_child_makes_way() {
    let object = scaled_object("a", "kafka");
    let mut other = scaled_object("b", "redis");
    refused(
        &object,
        beside(vec![other.clone()]),
        "ScaledObject b scales Deployment app",
    )
    .await;
    other["spec"]["scaleTargetRef"]["kind"] = json!("StatefulSet");
    passes(&object, beside(vec![other.clone()])).await;
    other["spec"]["scaleTargetRef"]["kind"] = json!("Deployment");
    other["metadata"]["ownerReferences"] =
        json!([{"kind": "HTTPScaledObject", "name": "b", "controller": true}]);
    passes(&object, beside(vec![other])).await;
}

#[tokio::test]
async fn the_name_of_an_autoscaler_belongs_to_one() {
    let mut object = scaled_object("a", "kafka");
    let mut other = scaled_object("b", "redis");
    other["spec"]["scaleTargetRef"]["name"] = json!("elsewhere");
    object["spec"]["advanced"] = json!({"horizontalPodAutoscalerConfig": {"name": "keda-hpa-b"}});
    refused(
        &object,
        beside(vec![other]),
        "keda-hpa-b belongs to ScaledObject b",
    )
    .await;
}

fn autoscaler() -> Value {
    json!({
        "metadata": {"name": "theirs"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}},
    })
}

#[tokio::test]
async fn a_foreign_autoscaler_is_refused_by_name_unless_it_is_ignored_or_handed_over() {
    let known = |hpa: Value| Neighbours {
        autoscalers: vec![hpa],
        ..Neighbours::default()
    };
    let mut object = scaled_object("a", "kafka");
    refused(
        &object,
        known(autoscaler()),
        "HorizontalPodAutoscaler theirs",
    )
    .await;
    let mut owned = autoscaler();
    owned["metadata"]["ownerReferences"] = json!([{"kind": "ScaledObject", "name": "a"}]);
    passes(&object, known(owned)).await;
    let mut ignored = autoscaler();
    ignored["metadata"]["annotations"] = json!({"validations.keda.sh/hpa-ownership": "false"});
    passes(&object, known(ignored)).await;
    object["metadata"]["annotations"] =
        json!({"scaledobject.keda.sh/transfer-hpa-ownership": "true"});
    refused(&object, known(autoscaler()), "name it in spec.advanced").await;
    object["spec"]["advanced"] = json!({"horizontalPodAutoscalerConfig": {"name": "theirs"}});
    passes(&object, known(autoscaler())).await;
}

#[tokio::test]
async fn cpu_needs_a_request_a_limit_or_a_default_except_in_a_dry_run() {
    let known = |resources: Value, limits: Vec<Value>| Neighbours {
        target: Some(json!({"spec": {"template": {"spec": {
            "containers": [{"name": "main", "resources": resources}],
        }}}})),
        limits,
        ..Neighbours::default()
    };
    let mut object = scaled_object("a", "cpu");
    object["spec"]["minReplicaCount"] = json!(1);
    refused(
        &object,
        known(json!({}), vec![]),
        "cpu request (or limit) of container main",
    )
    .await;
    passes(&object, known(json!({"requests": {"cpu": "100m"}}), vec![])).await;
    passes(&object, known(json!({"limits": {"cpu": 1}}), vec![])).await;
    let default = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}});
    passes(&object, known(json!({}), vec![default])).await;
    object["spec"]["triggers"][0]["metadata"]["containerName"] = json!("other");
    passes(&object, known(json!({}), vec![])).await;
    object["spec"]["triggers"][0]["metadata"] = json!({"value": "50"});
    let mut dry = question(&object);
    dry["request"]["dryRun"] = json!(true);
    assert!(ask(&dry, known(json!({}), vec![])).await.is_ok());
}

#[tokio::test]
async fn cpu_and_memory_alone_need_a_minimum() {
    let mut object = scaled_object("a", "memory");
    refused(
        &object,
        Neighbours::default(),
        "minReplicaCount must be at least 1",
    )
    .await;
    let more = json!({"type": "kafka", "metadata": {}});
    object["spec"]["triggers"]
        .as_array_mut()
        .unwrap()
        .push(more);
    passes(&object, Neighbours::default()).await;
}

#[tokio::test]
async fn the_readers_rules_hold_here_too() {
    let with = |path: &str, value: Value| {
        let mut object = scaled_object("a", "kafka");
        object["spec"][path] = value;
        object
    };
    let none = Neighbours::default;
    refused(
        &with("minReplicaCount", json!(200)),
        none(),
        "must not be above",
    )
    .await;
    let mut idle = with("minReplicaCount", json!(1));
    idle["spec"]["idleReplicaCount"] = json!(1);
    refused(&idle, none(), "must be below minReplicaCount").await;
    let twice = json!([
        {"type": "kafka", "name": "x", "metadata": {}},
        {"type": "redis", "name": "x", "metadata": {}},
    ]);
    refused(&with("triggers", twice), none(), "names must be unique").await;
    let cached = json!([{"type": "cron", "metadata": {}, "useCachedMetrics": true}]);
    refused(&with("triggers", cached), none(), "do not take it").await;
    let formula = json!({"scalingModifiers": {"formula": "x +", "target": "1"}});
    refused(&with("advanced", formula), none(), "does not compile").await;
    let target = json!({"scalingModifiers": {"formula": "1", "target": "0"}});
    refused(&with("advanced", target), none(), "above 0").await;
    let fallback = json!({"failureThreshold": 3, "replicas": 1, "behavior": "scalingModifiers"});
    refused(&with("fallback", fallback), none(), "formula").await;
    let long = scaled_object(&"a".repeat(64), "kafka");
    refused(&long, none(), "at most 63").await;
    let derived = scaled_object(&"a".repeat(60), "kafka");
    refused(&derived, none(), "keda-hpa-").await;
}

#[tokio::test]
async fn what_cannot_matter_is_a_warning() {
    let mut object = scaled_object("a", "kafka");
    object["spec"]["minReplicaCount"] = json!(1);
    object["spec"]["cooldownPeriod"] = json!(60);
    object["spec"]["pollingInterval"] = json!(5);
    let warnings = ask(&question(&object), Neighbours::default())
        .await
        .unwrap();
    let text = warnings.join("\n");
    assert!(
        text.contains("cooldownPeriod") && text.contains("pollingInterval"),
        "{text}"
    );
}

#[tokio::test]
async fn deleting_objects_and_untouched_specs_pass() {
    let mut bad = scaled_object("a", "cpu");
    bad["metadata"]["finalizers"] = json!(["finalizer.keda.sh"]);
    let mut update = question(&bad);
    update["request"]["operation"] = json!("UPDATE");
    let mut old = bad.clone();
    old["metadata"]["finalizers"] = json!([]);
    update["request"]["oldObject"] = old;
    assert!(ask(&update, Neighbours::default()).await.is_ok());
    update["request"]["oldObject"]["spec"]["maxReplicaCount"] = json!(5);
    assert!(ask(&update, Neighbours::default()).await.is_err());
    update["request"]["object"]["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
    assert!(ask(&update, Neighbours::default()).await.is_ok());
}

#[tokio::test]
async fn a_scaled_job_is_read_as_a_whole() {
    let pod = || json!({"template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}});
    let job = |trigger: Value| {
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob",
            "metadata": {"name": "j", "namespace": "shop"},
            "spec": {"jobTargetRef": pod(), "triggers": [trigger]},
        })
    };
    passes(
        &job(json!({"type": "kafka", "metadata": {}})),
        Neighbours::default(),
    )
    .await;
    let typed = job(json!({"type": "kafka", "metadata": {}, "metricType": "Value"}));
    refused(&typed, Neighbours::default(), "metricType").await;
    let cached = job(json!({"type": "cron", "metadata": {}, "useCachedMetrics": true}));
    refused(&cached, Neighbours::default(), "useCachedMetrics").await;
    let cached = job(json!({"type": "kafka", "metadata": {}, "useCachedMetrics": true}));
    assert_eq!(
        ask(&question(&cached), Neighbours::default())
            .await
            .unwrap()
            .len(),
        1
    );
    for kind in ["cpu", "memory"] {
        let resource = job(json!({"type": kind, "metadata": {"value": "50"}}));
        refused(&resource, Neighbours::default(), "do not fit a ScaledJob").await;
    }
    let mut wrong = job(json!({"type": "kafka", "metadata": {}}));
    wrong["spec"]["jobTargetRef"]["template"]["spec"]["restartPolicy"] = json!("Always");
    refused(&wrong, Neighbours::default(), "restartPolicy").await;
    wrong["spec"]["scalingStrategy"] =
        json!({"strategy": "custom", "customScalingRunningJobPercentage": "half"});
    refused(
        &wrong,
        Neighbours::default(),
        "customScalingRunningJobPercentage",
    )
    .await;
}

#[tokio::test]
async fn authentications_have_rules_of_their_own() {
    let of = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": kind,
            "metadata": {"name": "t", "namespace": "shop"}, "spec": spec,
        })
    };
    let ta = |spec: Value| of("TriggerAuthentication", spec);
    let none = Neighbours::default;
    passes(
        &ta(json!({"secretTargetRef": [{"parameter": "a", "name": "b", "key": "c"}]})),
        none(),
    )
    .await;
    refused(
        &ta(json!({"filePath": "a.json"})),
        none(),
        "only a ClusterTriggerAuthentication",
    )
    .await;
    let cta = of(
        "ClusterTriggerAuthentication",
        json!({"filePath": "../a.json"}),
    );
    refused(&cta, none(), "without `..`").await;
    let aws =
        json!({"podIdentity": {"provider": "aws", "roleArn": "r", "identityOwner": "workload"}});
    refused(&ta(aws), none(), "roleArn").await;
    let external = json!({"podIdentity": {"provider": "aws", "externalID": "x"}});
    refused(&ta(external), none(), "needs roleArn").await;
    let azure = json!({"podIdentity": {"provider": "azure-workload", "identityId": ""}});
    refused(&ta(azure), none(), "identityId").await;
    let url =
        json!({"oauth2": {"type": "clientCredentials", "clientId": "a", "tokenUrl": "ftp://x"}});
    refused(&ta(url), none(), "http or https").await;
    let principal = json!({"azureServicePrincipal": {"clientId": "a", "tenantId": "b"}});
    refused(&ta(principal), none(), "clientSecret").await;
}

#[tokio::test]
async fn without_neighbours_the_object_alone_is_checked_and_that_is_said() {
    struct Silent;
    impl LookUp for Silent {
        async fn neighbours(&self, _: &str, _: &Value) -> Result<Neighbours, Unknown> {
            Err(Unknown::new("no answer"))
        }
    }
    let good = review(&question(&scaled_object("a", "kafka")), &Silent)
        .await
        .unwrap();
    assert_eq!(good["response"]["allowed"], true);
    let warning = good["response"]["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("not checked against other objects"),
        "{warning}"
    );
    let bad = review(&question(&scaled_object("a", "cpu")), &Silent)
        .await
        .unwrap();
    assert_eq!(bad["response"]["allowed"], false);
}

#[tokio::test]
async fn what_is_no_review_has_no_answer() {
    assert_eq!(review(&json!({"a": 1}), &Known::default()).await, None);
}

#[test]
fn the_configuration_ignores_failures_and_leaves_kube_system_alone() {
    let configuration = super::super::configuration("zeron", "zeron-system", "zeron-webhook");
    let webhooks = configuration["webhooks"].as_array().unwrap();
    assert_eq!(webhooks.len(), 4);
    for webhook in webhooks {
        assert_eq!(webhook["failurePolicy"], "Ignore");
        assert_eq!(webhook["sideEffects"], "None");
        let left_out = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
        assert_eq!(*left_out, json!(["kube-system"]));
    }
}
