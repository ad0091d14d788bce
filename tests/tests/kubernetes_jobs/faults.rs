//! What goes wrong is said and survived, and nothing is created twice.

use std::time::Duration;

use serde_json::json;
use zeron_tests::cluster::{Cluster, Namespace, Roles};
use zeron_tests::wait::{throughout, until};

use super::work::{Life, SCALED_JOB, backlog, is_told, jobs, scaled_job, wait_jobs};

fn namespace(test: &str, prefix: &str) -> Option<Namespace> {
    let cluster = Cluster::get(&format!("kubernetes_jobs::{test}"))?;
    cluster.install_crds();
    Some(cluster.namespace(prefix))
}

#[test]
fn a_quota_is_said_and_what_it_kept_back_is_made_later() {
    let Some(namespace) = namespace(
        "a_quota_is_said_and_what_it_kept_back_is_made_later",
        "jobs-quota",
    ) else {
        return;
    };
    let _roles = Roles::of(&namespace).activators(0).controllers(0).start();
    let quota = |count: u32| {
        namespace.apply(&format!(
            "{{ apiVersion: v1, kind: ResourceQuota, metadata: {{ name: jobs }}, spec: {{ hard: {{ count/jobs.batch: {count} }} }} }}"
        ));
        namespace.wait("v1/ResourceQuota", "jobs", "to be in force", |it| {
            let hard = it["status"]["hard"]["count/jobs.batch"].as_str()?;
            (hard == count.to_string()).then_some(())
        });
    };
    quota(2);
    backlog(&namespace, "held", 5);
    scaled_job(&namespace, "held", Life::Waiting, json!({}));
    wait_jobs(&namespace, "held", 2);
    let blocked = namespace.wait_condition(SCALED_JOB, "held", "WritesBlocked", "True");
    assert!(
        blocked["message"]
            .as_str()
            .unwrap()
            .contains("exceeded quota"),
        "{blocked}"
    );
    namespace.wait_condition(SCALED_JOB, "held", "Ready", "False");
    until("an event", || {
        is_told(&namespace, "held", "KEDAJobCreateFailed").then_some(())
    });
    quota(10);
    wait_jobs(&namespace, "held", 5);
    namespace.wait_condition(SCALED_JOB, "held", "Ready", "True");
    namespace.wait_condition(SCALED_JOB, "held", "WritesBlocked", "False");
}

#[test]
fn an_autoscaler_that_dies_while_it_creates_leaves_no_duplicates() {
    let Some(namespace) = namespace(
        "an_autoscaler_that_dies_while_it_creates_leaves_no_duplicates",
        "jobs-killed",
    ) else {
        return;
    };
    let mut roles = Roles::of(&namespace)
        .activators(0)
        .controllers(0)
        .autoscalers(2)
        .start();
    backlog(&namespace, "many", 25);
    scaled_job(
        &namespace,
        "many",
        Life::Waiting,
        json!({ "pollingInterval": 1 }),
    );
    until("the first Jobs", || {
        (!jobs(&namespace, "many").is_empty()).then_some(())
    });
    // Whichever of them creates.
    roles.autoscalers[0].kill();
    wait_jobs(&namespace, "many", 25);
    throughout(Duration::from_secs(5), "as many Jobs as work", || {
        jobs(&namespace, "many").len() == 25
    });
}
