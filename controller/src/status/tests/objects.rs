//! What each kind's status says.

mod http;
mod push;

use std::sync::Arc;

use zeron_backend_kubernetes::{LabelSelector, ScaleTarget, TargetPort};
use zeron_core::StartFailure;

use super::*;
use crate::projection::{Conflict, DeniedSecret};

fn scaled(object: &Value, report: &ObjectReport, functions: &[FunctionStatus]) -> Value {
    let patch = patch(object, &seen(report, functions, 100)).unwrap();
    patched(object.clone(), &patch)
}

fn ok() -> ObjectReport {
    report(ObjectKind::ScaledObject, Outcome::Ok)
}

#[test]
fn an_object_at_rest_reads_as_in_keda() {
    let after = scaled(
        &object(),
        &ok(),
        &[function(vec![trigger(
            "kafka",
            "kafka-orders",
            known(0.0),
            false,
        )])],
    );
    assert_eq!(said(&after, "Ready"), ("True", "ScaledObjectReady"));
    assert_eq!(said(&after, "Active"), ("False", "ScalerNotActive"));
    assert_eq!(said(&after, "Fallback"), ("False", "NoFallbackFound"));
    assert_eq!(said(&after, "Paused"), ("False", "ScaledObjectUnpaused"));
    let status = &after["status"];
    assert_eq!(status["externalMetricNames"], json!(["s0-kafka-orders"]));
    assert_eq!(status["triggersTypes"], "kafka");
    assert_eq!(status["authenticationsTypes"], "broker");
    assert_eq!(
        status["health"]["s0-kafka-orders"],
        json!({"numberOfFailures": 0, "status": "Happy"})
    );
    assert_eq!(
        status["triggersActivity"]["s0-kafka-orders"],
        json!({"isActive": false})
    );
    assert!(status.get("hpaName").is_none());
    assert!(status.get("pausedReplicaCount").is_none());
}

#[test]
fn a_moment_without_a_request_is_no_end_of_work() {
    let mut http = object();
    http["spec"]["triggers"] = json!([{
        "type": "external-push",
        "metadata": { "scalerAddress": "a:1", "httpScaledObject": "orders" },
    }]);
    let served = |ago: u64| FunctionStatus {
        desired: 1,
        ready: 1,
        last_active: Some(at(100 - ago)),
        ..function(Vec::new())
    };
    let working = scaled(&http, &ok(), &[served(2)]);
    assert_eq!(said(&working, "Active").0, "True");
    let again = patch(&working, &seen(&ok(), &[served(1)], 101));
    assert_eq!(again, None, "the next request is not worth a write");
    let over = scaled(&http, &ok(), &[served(20)]);
    assert_eq!(said(&over, "Active").0, "False");
}

#[test]
fn nothing_changed_is_nothing_written() {
    let functions = [function(vec![trigger(
        "kafka",
        "kafka-orders",
        known(4.0),
        true,
    )])];
    let after = scaled(&object(), &ok(), &functions);
    assert_eq!(patch(&after, &seen(&ok(), &functions, 100)), None);
    // Neither time nor a value alone changes a status.
    let more = [function(vec![trigger(
        "kafka",
        "kafka-orders",
        known(900.0),
        true,
    )])];
    assert_eq!(patch(&after, &seen(&ok(), &more, 4_000)), None);
}

#[test]
fn an_object_that_is_not_ours_is_never_written() {
    let report = report(ObjectKind::ScaledObject, Outcome::NotManaged);
    assert_eq!(patch(&object(), &seen(&report, &[], 0)), None);
}

#[test]
fn the_target_is_named_in_all_its_parts_and_its_count_of_before_is_kept() {
    let target = ScaleTarget {
        id: FunctionId::new("shop", "Deployment", "orders"),
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        plural: "deployments".into(),
        name: "orders".into(),
        namespace: "shop".into(),
        uid: None,
        resource_version: None,
        selector: Arc::new(LabelSelector::default()),
        replicas: Some(9),
        port: TargetPort::First,
        failure: None,
        is_deleting: false,
    };
    let report = ObjectReport {
        original_replicas: Some(4),
        ..ok()
    };
    let observation = Observation {
        target: Some(&target),
        ..seen(&report, &[], 0)
    };
    let after = patched(object(), &patch(&object(), &observation).unwrap());
    let status = &after["status"];
    assert_eq!(status["scaleTargetKind"], "apps/v1.Deployment");
    let parts =
        json!({"group": "apps", "version": "v1", "kind": "Deployment", "resource": "deployments"});
    assert_eq!(status["scaleTargetGVKR"], parts);
    assert_eq!(status["originalReplicaCount"], 4);
    let report = ObjectReport {
        original_replicas: Some(0),
        ..ok()
    };
    let observation = Observation {
        target: Some(&target),
        ..seen(&report, &[], 0)
    };
    assert_eq!(patch(&after, &observation), None);
}

#[test]
fn an_authentication_names_its_users_in_the_order_in_which_they_came() {
    let user =
        |kind: ObjectKind, namespace: &str, name: &str| ObjectKey::new(kind, namespace, name);
    let scaled = |name: &str| user(ObjectKind::ScaledObject, "shop", name);
    let mut report = report(ObjectKind::ClusterTriggerAuthentication, Outcome::Ok);
    report.used_by = vec![
        scaled("a"),
        scaled("b"),
        scaled("z"),
        user(ObjectKind::ScaledObject, "till", "z"),
        user(ObjectKind::ScaledJob, "shop", "j"),
    ];
    let before = json!({ "status": { "scaledobjects": "z,gone,b" } });
    let after = patched(
        before.clone(),
        &patch(&before, &seen(&report, &[], 0)).unwrap(),
    );
    let expected = json!({ "scaledobjects": "z,b,a", "scaledjobs": "j" });
    assert_eq!(after["status"], expected);
    assert_eq!(
        patch(&after, &seen(&report, &[], 0)),
        None,
        "nothing changed"
    );
    report.used_by.clear();
    let alone = patched(
        after.clone(),
        &patch(&after, &seen(&report, &[], 0)).unwrap(),
    );
    assert_eq!(alone["status"], json!({}));
}

#[test]
fn work_is_active_and_its_time_moves_every_fifteen_seconds() {
    let busy = |last| {
        let mut f = function(vec![trigger("kafka", "kafka-orders", known(4.0), true)]);
        f.last_active = Some(at(last));
        [f]
    };
    let after = scaled(&object(), &ok(), &busy(100));
    assert_eq!(said(&after, "Active"), ("True", "ScalerActive"));
    assert_eq!(after["status"]["lastActiveTime"], "2027-01-15T08:01:40Z");
    assert_eq!(patch(&after, &seen(&ok(), &busy(114), 114)), None);
    let moved = patch(&after, &seen(&ok(), &busy(115), 115)).unwrap();
    assert_eq!(
        moved,
        json!({"status": {"lastActiveTime": "2027-01-15T08:01:55Z"}})
    );
    // When the work ends its last moment is written, whenever that was.
    let mut ended = busy(104);
    ended[0].triggers[0].is_active = false;
    ended[0].desired = 2;
    let end = patched(
        after.clone(),
        &patch(&after, &seen(&ok(), &ended, 120)).unwrap(),
    );
    assert_eq!(end["status"]["lastActiveTime"], "2027-01-15T08:01:44Z");
    assert_eq!(said(&end, "Active"), ("False", "ScalerCooldown"));
}

#[test]
fn last_active_time_never_goes_back() {
    let mut object = object();
    object["status"] = json!({"lastActiveTime": "2027-01-15T09:00:00Z"});
    let mut f = function(vec![trigger("kafka", "kafka-orders", known(0.0), false)]);
    f.last_active = Some(at(5));
    let patch = patch(&object, &seen(&ok(), &[f], 10)).unwrap();
    assert!(patch["status"].get("lastActiveTime").is_none());
}

#[test]
fn one_silent_source_of_two_is_partial_and_both_are_an_error() {
    let mut object = object();
    let other = json!({"type": "redis", "metadata": {}});
    object["spec"]["triggers"]
        .as_array_mut()
        .unwrap()
        .push(other);
    let with = |kafka: MetricValue, redis: MetricValue| {
        [function(vec![
            trigger("kafka", "k", kafka, false),
            trigger("redis", "r", redis, false),
        ])]
    };
    let silent = || unknown(UnknownKind::Transport, 70);
    let one = scaled(&object, &ok(), &with(silent(), known(0.0)));
    assert_eq!(said(&one, "Ready"), ("Unknown", "PartialTriggerError"));
    assert_eq!(said(&one, "Active"), ("Unknown", "UnknownState"));
    assert_eq!(
        one["status"]["health"]["s0-k"],
        json!({"numberOfFailures": 1, "status": "Failing"})
    );
    let both = scaled(&object, &ok(), &with(silent(), silent()));
    assert_eq!(said(&both, "Ready"), ("False", "TriggerError"));
    let not_asked = unknown(UnknownKind::NotRead, 0);
    let fresh = scaled(&object, &ok(), &with(not_asked.clone(), not_asked));
    assert_eq!(said(&fresh, "Ready"), ("True", "ScaledObjectReady"));
}

#[test]
fn a_source_silent_for_days_is_written_a_bounded_number_of_times() {
    let mut object = object();
    object["spec"]["fallback"] = json!({"failureThreshold": 3, "replicas": 2});
    let silent = trigger("kafka", "k", unknown(UnknownKind::Timeout, 0), false);
    let mut functions = [function(vec![silent])];
    let mut writes = 0;
    for minute in 0..1_000 {
        let health = &mut functions[0].triggers[0].health;
        health.failures += 1;
        health.is_fallback = health.failures > 3;
        if let Some(patch) = patch(&object, &seen(&ok(), &functions, minute * 60)) {
            object = patched(object, &patch);
            writes += 1;
        }
        assert!(minute < 10 || writes <= 5, "{writes} writes");
    }
    assert!(writes <= 5, "{writes} writes");
    assert_eq!(said(&object, "Fallback"), ("True", "FallbackExists"));
}

#[test]
fn a_start_that_fails_is_said_and_kept_saying_at_zero() {
    let mut f = function(vec![trigger("kafka", "k", known(0.0), false)]);
    f.failure = Some(StartFailure {
        reason: "ImagePullBackOff".to_owned(),
        message: "image nope:1 not found".to_owned(),
        at: at(1),
        retry_at: None,
        is_final: true,
    });
    let after = scaled(&object(), &ok(), std::slice::from_ref(&f));
    assert_eq!(said(&after, "Ready"), ("False", "ImagePullBackOff"));
    assert_eq!(
        condition(&after, "Ready")["message"],
        "image nope:1 not found"
    );
    f.desired = 0;
    assert_eq!(patch(&after, &seen(&ok(), &[f], 9_999)), None);
}

#[test]
fn partial_success_is_said_and_taken_back() {
    let mut f = function(vec![trigger("kafka", "k", known(100.0), true)]);
    (f.desired, f.ready, f.starting) = (10, 6, 1);
    f.failure = Some(StartFailure {
        reason: "FailedCreate".to_owned(),
        message: "pods is forbidden: exceeded quota: small".to_owned(),
        at: at(1),
        retry_at: None,
        is_final: false,
    });
    let after = scaled(&object(), &ok(), std::slice::from_ref(&f));
    assert_eq!(said(&after, "WritesBlocked"), ("True", "QuotaExceeded"));
    let message = condition(&after, "WritesBlocked")["message"]
        .as_str()
        .unwrap();
    assert!(message.starts_with("7 of 10 replicas: "), "{message}");
    f.failure = None;
    let over = patched(
        after.clone(),
        &patch(&after, &seen(&ok(), &[f], 100)).unwrap(),
    );
    assert_eq!(said(&over, "WritesBlocked"), ("False", "Resolved"));
}

#[test]
fn a_foreign_autoscaler_is_named() {
    let conflict = Conflict::ForeignHpa {
        name: "web".to_owned(),
    };
    let report = report(ObjectKind::ScaledObject, Outcome::Conflict(conflict));
    let after = scaled(&object(), &report, &[]);
    assert_eq!(said(&after, "Ready"), ("False", "ScaledObjectCheckFailed"));
    assert_eq!(
        said(&after, "ForeignScaler"),
        ("True", "HorizontalPodAutoscaler")
    );
    let message = condition(&after, "ForeignScaler")["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("HorizontalPodAutoscaler web"), "{message}");
}

#[test]
fn a_secret_that_may_not_be_read_names_the_grant() {
    let mut report = ok();
    report.denied.push(DeniedSecret {
        namespace: "shop".into(),
        name: "broker".into(),
        hint: "zeron grant secrets shop".to_owned(),
    });
    let after = scaled(&object(), &report, &[]);
    assert_eq!(said(&after, "SecretAccess"), ("False", "Forbidden"));
    let message = condition(&after, "SecretAccess")["message"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("shop/broker") && message.contains("zeron grant"),
        "{message}"
    );
}

#[test]
fn pauses_are_said_with_the_count_that_they_hold() {
    let mut object = object();
    object["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"] = json!("2");
    let after = scaled(&object, &ok(), &[]);
    assert_eq!(said(&after, "Paused"), ("True", "ScaledObjectPaused"));
    assert_eq!(after["status"]["pausedReplicaCount"], 2);
    let mut resumed = after;
    resumed["metadata"]["annotations"] = json!({});
    let patch = patch(&resumed, &seen(&ok(), &[], 0)).unwrap();
    assert_eq!(patch["status"]["pausedReplicaCount"], Value::Null);
    resumed["metadata"]["annotations"]["autoscaling.keda.sh/paused"] = json!("maybe");
    let after = scaled(&resumed, &ok(), &[]);
    assert_eq!(said(&after, "Paused"), ("True", "ScaledObjectPaused"));
}

#[test]
fn resource_metrics_and_the_formula_have_fields_of_their_own() {
    let mut object = object();
    object["spec"]["triggers"] = json!([
        {"type": "cpu", "metadata": {}},
        {"type": "kafka", "name": "k", "metadata": {}},
        {"type": "external-push", "metadata": {"interceptorRoute": "web"}},
    ]);
    object["spec"]["advanced"] = json!({"scalingModifiers": {"formula": "k * 2", "target": "1"}});
    let mut f = function(vec![
        trigger("cpu", "cpu", known(1.0), true),
        trigger("kafka", "a/b.c", known(0.0), false),
    ]);
    f.queued = 1;
    let after = scaled(&object, &ok(), &[f]);
    let status = &after["status"];
    assert_eq!(status["resourceMetricNames"], json!(["cpu"]));
    assert_eq!(
        status["externalMetricNames"],
        json!(["s1-a-b-c", "s2-http_web_concurrency"])
    );
    assert_eq!(status["compositeScalerName"], "composite-metric");
    assert_eq!(status["triggersTypes"], "cpu,kafka,external-push");
    assert_eq!(
        status["triggersActivity"]["s2-http_web_concurrency"]["isActive"],
        true
    );
    assert_eq!(said(&after, "Active"), ("True", "ScalerActive"));
}

#[test]
fn conditions_of_others_stay_and_the_mirror_of_the_hpa_goes() {
    let mut object = object();
    object["status"] = json!({"conditions": [
        {"type": "HPAActive", "status": "True"},
        {"type": "Audited", "status": "True", "reason": "ByUs"},
    ]});
    let after = scaled(&object, &ok(), &[]);
    let types: Vec<&str> = after["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["Ready", "Active", "Fallback", "Paused", "Audited"]);
}

#[test]
fn statuses_fit_the_schemas_types() {
    use zeron_frontend_keda::crd::{HttpScaledObjectStatus, ScaledObjectStatus};
    let functions = [function(vec![trigger(
        "kafka",
        "k",
        unknown(UnknownKind::Timeout, 0),
        true,
    )])];
    let after = scaled(&object(), &ok(), &functions);
    serde_json::from_value::<ScaledObjectStatus>(after["status"].clone()).unwrap();
    let http = report(
        ObjectKind::HttpScaledObject,
        Outcome::TargetMissing {
            message: "no Service".to_owned(),
        },
    );
    let patch = patch(&json!({"spec": {}}), &seen(&http, &[], 0)).unwrap();
    serde_json::from_value::<HttpScaledObjectStatus>(patch["status"].clone()).unwrap();
}

#[test]
fn long_messages_are_cut_and_odd_reasons_made_words() {
    let mut f = function(vec![]);
    f.failure = Some(StartFailure {
        reason: "exit code: 1".to_owned(),
        message: "é".repeat(4_000),
        at: at(1),
        retry_at: None,
        is_final: false,
    });
    let after = scaled(&object(), &ok(), &[f]);
    let ready = condition(&after, "Ready");
    assert_eq!(ready["reason"], "exitcode1");
    assert!(ready["message"].as_str().unwrap().len() <= 1_024);
}

#[test]
fn conditions_that_old_add_ons_wrote_without_a_time_are_dropped() {
    let mut object = json!({"metadata": {}, "spec": {"scaleTargetRef": {"name": "a"}}});
    object["status"] = json!({"conditions": [
        {"type": "Old", "status": "True", "timestamp": "2024-01-15T08:00:00Z"},
        {"type": "Audited", "status": "True", "reason": "a", "message": "", "lastTransitionTime": "2024-01-15T08:00:00Z"},
    ]});
    let report = report(ObjectKind::HttpScaledObject, Outcome::Ok);
    let after = patched(
        object.clone(),
        &patch(&object, &seen(&report, &[], 0)).unwrap(),
    );
    let all = after["status"]["conditions"].as_array().unwrap();
    let types: Vec<&str> = all.iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["Ready", "Audited"]);
}

#[test]
fn a_type_that_is_not_built_in_is_named_with_who_may_serve_it() {
    let types = vec!["aws-sqs-queue".to_owned()];
    let report = report(ObjectKind::ScaledObject, Outcome::NotBuiltIn { types });
    let after = scaled(&object(), &report, &[]);
    assert_eq!(said(&after, "Ready"), ("False", "ScaledObjectCheckFailed"));
    let ready = condition(&after, "Ready");
    let message = ready["message"].as_str().unwrap();
    for part in ["aws-sqs-queue", "an external scaler may serve them"] {
        assert!(message.contains(part), "{message}");
    }
}
