//! Jobs are created for what is counted, once.

use std::time::Duration;

use serde_json::{Value, json};
use zeron_tests::wait::{throughout, until};

use super::work::{Life, SCALED_JOB, Site, backlog, is_told, jobs, of, scaled_job, wait_jobs};

#[test]
fn every_piece_of_work_gets_one_job_and_no_more() {
    let Some(site) = Site::get("every_piece_of_work_gets_one_job_and_no_more") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "one-each");
    backlog(namespace, name, 3);
    scaled_job(namespace, name, Life::Waiting, json!({}));
    let made = wait_jobs(namespace, name, 3);
    throughout(Duration::from_secs(4), "three Jobs", || {
        jobs(namespace, name).len() == 3
    });
    backlog(namespace, name, 5);
    wait_jobs(namespace, name, 5);
    as_in_keda(&made[0], name);
    namespace.wait_reason(SCALED_JOB, name, ["Ready", "True", "ScaledJobReady"]);
    namespace.wait_reason(SCALED_JOB, name, ["Active", "True", "ScalerActive"]);
    let status = namespace.get(SCALED_JOB, name).unwrap()["status"].clone();
    assert_eq!(status["triggersTypes"], "kubernetes-workload");
    let metric = format!("s0-workload-{}", namespace.name());
    assert_eq!(status["externalMetricNames"], json!([metric]));
    until("events", || {
        is_told(namespace, name, "KEDAJobsCreated").then_some(())
    });
    let shown = namespace.kubectl(&["get", "scaledjob", name]);
    assert!(shown.contains("kubernetes-workload"), "{shown}");
    backlog(namespace, name, 0);
    namespace.wait_condition(SCALED_JOB, name, "Active", "False");
    namespace.delete(SCALED_JOB, name);
    wait_jobs(namespace, name, 0);
}

fn as_in_keda(job: &Value, name: &str) {
    let metadata = &job["metadata"];
    let made = metadata["name"].as_str().unwrap();
    assert!(made.starts_with(&format!("{name}-")), "{made}");
    assert_eq!(metadata["generateName"], format!("{name}-"));
    let labels = &metadata["labels"];
    assert_eq!(labels["team"], "jobs");
    assert_eq!(labels.get("hidden"), None);
    assert_eq!(labels["app.kubernetes.io/part-of"], name);
    let annotations = &metadata["annotations"];
    assert_eq!(annotations["scaledjob.keda.sh/generation"], "1");
    let owner = &metadata["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["controller"]),
        (&json!("ScaledJob"), &json!(true))
    );
}

#[test]
fn the_maximum_bounds_and_the_minimum_stands_ready() {
    let Some(site) = Site::get("the_maximum_bounds_and_the_minimum_stands_ready") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "bounded");
    let bounds = json!({ "minReplicaCount": 1, "maxReplicaCount": 4 });
    scaled_job(namespace, name, Life::Waiting, bounds);
    wait_jobs(namespace, name, 1);
    backlog(namespace, name, 9);
    wait_jobs(namespace, name, 4);
    throughout(Duration::from_secs(3), "four Jobs", || {
        jobs(namespace, name).len() == 4
    });
}

#[test]
fn accurate_counts_pending_jobs_alone_against_the_queue() {
    let Some(site) = Site::get("accurate_counts_pending_jobs_alone_against_the_queue") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "accurate");
    backlog(namespace, name, 2);
    let accurate = json!({ "maxReplicaCount": 5, "scalingStrategy": { "strategy": "accurate" } });
    scaled_job(namespace, name, Life::Running, accurate);
    // Each that runs has taken its work, and the source still counts two.
    wait_jobs(namespace, name, 5);
    let running = format!("{},batch.kubernetes.io/job-name", of(name));
    namespace.wait_list("v1/Pod", &running, "to run", |pods| {
        let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
        (pods.len() == 5 && pods.iter().all(is_running)).then_some(())
    });
}

#[test]
fn jobs_whose_pods_lack_a_condition_are_pending() {
    let Some(site) = Site::get("jobs_whose_pods_lack_a_condition_are_pending") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "conditions");
    backlog(namespace, name, 2);
    let strategy = json!({ "strategy": "accurate", "pendingPodConditions": ["zeron.dev/at-work"] });
    scaled_job(
        namespace,
        name,
        Life::Running,
        json!({ "scalingStrategy": strategy }),
    );
    wait_jobs(namespace, name, 2);
    throughout(Duration::from_secs(4), "two Jobs", || {
        jobs(namespace, name).len() == 2
    });
}

#[test]
fn a_pause_holds_and_its_end_goes_on() {
    let Some(site) = Site::get("a_pause_holds_and_its_end_goes_on") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "paused");
    scaled_job(namespace, name, Life::Waiting, json!({}));
    let pause = |value: Value| {
        let annotations = json!({ "autoscaling.keda.sh/paused": value });
        namespace.patch(
            SCALED_JOB,
            name,
            json!({ "metadata": { "annotations": annotations } }),
        );
    };
    pause(json!("true"));
    namespace.wait_reason(SCALED_JOB, name, ["Paused", "True", "ScaledJobPaused"]);
    backlog(namespace, name, 2);
    throughout(Duration::from_secs(3), "no Jobs", || {
        jobs(namespace, name).is_empty()
    });
    pause(Value::Null);
    wait_jobs(namespace, name, 2);
    namespace.wait_condition(SCALED_JOB, name, "Paused", "False");
}

#[test]
fn a_trigger_that_is_unknown_asks_for_nothing_and_is_named() {
    let Some(site) = Site::get("a_trigger_that_is_unknown_asks_for_nothing_and_is_named") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "unknown");
    backlog(namespace, name, 2);
    let triggers = json!([
        { "type": "kubernetes-workload", "metadata": { "podSelector": "work=unknown", "value": "1" } },
        { "type": "kafka", "metadata": {
            "bootstrapServers": "no-broker.invalid:9092", "consumerGroup": "g", "topic": "t",
        } },
    ]);
    let spec =
        json!({ "triggers": triggers, "scalingStrategy": { "multipleScalersCalculation": "sum" } });
    scaled_job(namespace, name, Life::Waiting, spec);
    wait_jobs(namespace, name, 2);
    let ready = namespace.wait_reason(
        SCALED_JOB,
        name,
        ["Ready", "Unknown", "PartialTriggerError"],
    );
    assert!(
        ready["message"].as_str().unwrap().contains("s1-kafka"),
        "{ready}"
    );
    until("an event", || {
        is_told(namespace, name, "KEDAScalerFailed").then_some(())
    });
    throughout(Duration::from_secs(3), "two Jobs", || {
        jobs(namespace, name).len() == 2
    });
}

#[test]
fn one_that_breaks_rules_says_all_of_them() {
    let Some(site) = Site::get("one_that_breaks_rules_says_all_of_them") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "broken");
    let triggers = json!([
        { "type": "kubernetes-workload", "metricType": "Value", "metadata": { "podSelector": "a in (", "value": "0" } },
        { "type": "memory", "metadata": { "value": "50" } },
    ]);
    scaled_job(
        namespace,
        name,
        Life::Waiting,
        json!({ "triggers": triggers }),
    );
    let ready = namespace.wait_reason(SCALED_JOB, name, ["Ready", "False", "ScaledJobCheckFailed"]);
    let message = ready["message"].as_str().unwrap();
    for field in [
        "triggers[0].metricType",
        "triggers[0].metadata.podSelector",
        "triggers[0].metadata.value",
        "triggers[1].type",
    ] {
        assert!(message.contains(field), "{field} in {message}");
    }
}

#[test]
fn people_can_ask_why() {
    let Some(site) = Site::get("people_can_ask_why") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "why");
    backlog(namespace, name, 2);
    scaled_job(namespace, name, Life::Waiting, json!({}));
    wait_jobs(namespace, name, 2);
    let listed = site.zeron(&["ls"]);
    assert!(listed.contains(name), "{listed}");
    let why = until("an explanation", || {
        let why = site.zeron(&["why", name]);
        why.contains("Jobs are wanted").then_some(why)
    });
    assert!(why.contains("workload-"), "{why}");
}
