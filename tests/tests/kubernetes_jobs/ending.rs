//! Jobs that are over, or of older versions, go as the rules say.

use serde_json::{Value, json};
use zeron_tests::wait::until;

use super::work::{
    JOB, Life, SCALED_JOB, Site, backlog, is_over, is_told, jobs, of, scaled_job, wait_jobs,
};

#[test]
fn finished_jobs_are_kept_as_far_as_the_limits_say() {
    let Some(site) = Site::get("finished_jobs_are_kept_as_far_as_the_limits_say") else {
        return;
    };
    let namespace = &site.namespace;
    for (name, code, kind, field) in [
        ("succeeds", 0, "Complete", "successfulJobsHistoryLimit"),
        ("fails", 3, "Failed", "failedJobsHistoryLimit"),
    ] {
        backlog(namespace, name, 1);
        scaled_job(namespace, name, Life::Ending(code), json!({ field: 1 }));
        // The work stays: one after the other.
        let mut seen = std::collections::BTreeSet::new();
        namespace.wait_list(JOB, &of(name), "to be three, one after the other", |jobs| {
            seen.extend(jobs.iter().map(|job| job["metadata"]["name"].to_string()));
            (seen.len() >= 3).then_some(())
        });
        backlog(namespace, name, 0);
        namespace.wait_list(JOB, &of(name), "to be the last one", |jobs| {
            (jobs.len() == 1 && is_over(&jobs[0], kind)).then_some(())
        });
    }
}

/// Raises the maximum, which makes a new generation.
fn change(namespace: &zeron_tests::cluster::Namespace, name: &str) {
    namespace.patch(
        SCALED_JOB,
        name,
        json!({ "spec": { "maxReplicaCount": 50 } }),
    );
}

fn generations(jobs: &[Value]) -> Vec<&str> {
    let annotation = |job| -> Option<&str> {
        let job: &Value = job;
        job["metadata"]["annotations"]["scaledjob.keda.sh/generation"].as_str()
    };
    jobs.iter().filter_map(annotation).collect()
}

#[test]
fn a_new_version_replaces_the_jobs_of_the_old_one() {
    let Some(site) = Site::get("a_new_version_replaces_the_jobs_of_the_old_one") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "immediate");
    backlog(namespace, name, 2);
    let rollout = json!({ "rollout": { "propagationPolicy": "foreground" } });
    scaled_job(namespace, name, Life::Waiting, rollout);
    wait_jobs(namespace, name, 2);
    change(namespace, name);
    namespace.wait_list(JOB, &of(name), "to be of the new generation", |jobs| {
        (generations(jobs) == ["2", "2"]).then_some(())
    });
    until("an event", || {
        is_told(namespace, name, "ScaledJobRolloutCleanupCompleted").then_some(())
    });
}

#[test]
fn a_gradual_rollout_lets_them_run() {
    let Some(site) = Site::get("a_gradual_rollout_lets_them_run") else {
        return;
    };
    let (namespace, name) = (&site.namespace, "gradual");
    backlog(namespace, name, 2);
    let rollout = json!({ "rollout": { "strategy": "gradual" } });
    scaled_job(namespace, name, Life::Waiting, rollout);
    wait_jobs(namespace, name, 2);
    change(namespace, name);
    backlog(namespace, name, 3);
    wait_jobs(namespace, name, 3);
    let all = jobs(namespace, name);
    let mut generations = generations(&all);
    generations.sort_unstable();
    assert_eq!(generations, ["1", "1", "2"]);
}
