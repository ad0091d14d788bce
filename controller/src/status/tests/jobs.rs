//! What the status of a ScaledJob says.

use zeron_core::StartFailure;

use super::*;
use crate::events::{Reason, of_status};

fn job() -> Value {
    let mut job = object();
    job["spec"]["jobTargetRef"] = json!({});
    job
}

fn told(outcome: Outcome, function: FunctionStatus) -> Value {
    let report = report(ObjectKind::ScaledJob, outcome);
    let functions = [function];
    let patch = patch(&job(), &seen(&report, &functions, 100)).unwrap();
    patched(job(), &patch)
}

fn of(metric: &str, value: MetricValue, is_active: bool) -> TriggerStatus {
    TriggerStatus {
        source: key(ObjectKind::ScaledJob).object_ref(),
        ..trigger("kafka", metric, value, is_active)
    }
}

#[test]
fn it_reads_as_in_keda() {
    let after = told(
        Outcome::Ok,
        FunctionStatus {
            last_active: Some(at(90)),
            ..function(vec![of("kafka-orders", known(4.0), true)])
        },
    );
    assert_eq!(said(&after, "Ready"), ("True", "ScaledJobReady"));
    assert_eq!(said(&after, "Active"), ("True", "ScalerActive"));
    assert_eq!(said(&after, "Paused"), ("False", "ScaledJobUnpaused"));
    let status = &after["status"];
    assert_eq!(status["externalMetricNames"], json!(["s0-kafka-orders"]));
    assert_eq!(status["triggersTypes"], "kafka");
    assert_eq!(status["authenticationsTypes"], "broker");
    assert_eq!(status["Paused"], "false");
    assert_eq!(
        status["triggersActivity"],
        json!({ "s0-kafka-orders": { "isActive": true } })
    );
    assert!(status["lastActiveTime"].is_string());
    let idle = told(
        Outcome::Ok,
        function(vec![of("kafka-orders", known(0.0), false)]),
    );
    assert_eq!(said(&idle, "Active"), ("False", "ScalerNotActive"));
}

#[test]
fn an_unknown_trigger_is_named_in_a_condition_and_an_event() {
    let silent = of("s0-kafka", unknown(UnknownKind::Transport, 0), false);
    let after = told(Outcome::Ok, function(vec![silent]));
    assert_eq!(said(&after, "Ready"), ("False", "TriggerError"));
    assert_eq!(said(&after, "Active"), ("Unknown", "UnknownState"));
    let events = of_status(
        &ObjectKind::ScaledJob,
        &json!({ "conditions": [{ "type": "Ready", "status": "True", "reason": "ScaledJobReady" }] }),
        &after["status"],
    );
    assert_eq!(events[0].0, Reason::KedaScalerFailed);
    assert!(events[0].1.contains("s0-kafka"), "{}", events[0].1);
}

#[test]
fn a_job_that_cannot_be_created_is_said() {
    let after = told(
        Outcome::Ok,
        FunctionStatus {
            failure: Some(StartFailure {
                reason: "FailedCreate".to_owned(),
                message: "a Job could not be created: exceeded quota: jobs".to_owned(),
                at: at(0),
                retry_at: None,
                is_final: false,
            }),
            ..function(vec![of("kafka-orders", known(4.0), true)])
        },
    );
    assert_eq!(said(&after, "Ready"), ("False", "FailedCreate"));
    assert_eq!(said(&after, "WritesBlocked"), ("True", "QuotaExceeded"));
}

#[test]
fn a_pause_is_said_with_its_event() {
    let mut paused = job();
    paused["metadata"]["annotations"]["autoscaling.keda.sh/paused"] = json!("true");
    let report = report(ObjectKind::ScaledJob, Outcome::Ok);
    let functions = [function(vec![of("kafka-orders", known(0.0), false)])];
    let patch = patch(&paused, &seen(&report, &functions, 100)).unwrap();
    let after = patched(paused, &patch);
    assert_eq!(said(&after, "Paused"), ("True", "ScaledJobPaused"));
    assert_eq!(after["status"]["Paused"], "true");
    let events = of_status(&ObjectKind::ScaledJob, &json!({}), &after["status"]);
    let reasons: Vec<Reason> = events.into_iter().map(|(reason, _)| reason).collect();
    assert!(reasons.contains(&Reason::ScaledJobPaused), "{reasons:?}");
    assert!(reasons.contains(&Reason::KedaScalersStarted), "{reasons:?}");
}
