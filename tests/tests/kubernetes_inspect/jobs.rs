//! What the pods of a ScaledJob's Jobs wrote: of those that run, and of those that have ended.

use std::time::Duration;

use serde_json::{Value, json};
use zeron_tests::cluster::Program;
use zeron_tests::wait::within;
use zeron_tests::{Output, until};

use super::logs::{Following, end, name};
use super::site::Site;
use super::work::{Life, SCALED_JOB, backlog, of, scaled_job};

/// For Kubernetes to delete what belonged to a deleted object.
const AT_LAST: Duration = Duration::from_secs(60);
const WORDS: &str = "at your service";
const LAST_WORDS: &str = "zeron-example-function: asked to exit";

/// A ScaledJob whose pods say so when they start, and go on until they are asked to end.
fn declare(site: &Site, job: &str) {
    let image = site.other.cluster().image(Program::Function);
    let container = json!({
        "name": "main", "image": image, "imagePullPolicy": "Never", "args": ["--stderr", WORDS],
    });
    let pod = json!({
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container],
    });
    let target = json!({ "backoffLimit": 0, "template": { "spec": pod } });
    let spec = json!({ "jobTargetRef": target });
    scaled_job(&site.other, job, Life::Running, spec);
}

/// What a command says of it.
fn zeron(site: &Site, command: &[&str]) -> Output {
    site.zeron_in(&site.other, command, site.other.cluster().kubeconfig())
}

/// What it prints; it has to succeed.
fn said(site: &Site, command: &[&str]) -> String {
    let output = zeron(site, command);
    assert_eq!(output.code, Some(0), "{command:?}: {}", output.stderr);
    output.stdout
}

/// Waits until so many pods of its Jobs are ready, ended ones apart, and returns them.
fn working(site: &Site, job: &str, count: usize) -> Vec<Value> {
    let what = format!("to be {count} at work");
    site.other.wait_list("v1/Pod", &of(job), &what, |pods| {
        let conditions = |pod: &Value| pod["status"]["conditions"].as_array().cloned();
        let is_ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
        let is_working = |pod: &&Value| conditions(pod).is_some_and(|all| all.iter().any(is_ready));
        let working: Vec<_> = pods.iter().filter(is_working).cloned().collect();
        (working.len() == count).then_some(working)
    })
}

#[test]
fn logs_of_a_scaled_job_are_those_of_its_jobs_pods() {
    let Some(site) = Site::get("logs_of_a_scaled_job_are_those_of_its_jobs_pods") else {
        return;
    };
    let (namespace, job) = (&site.other, "encode");
    declare(&site, job);
    let nothing = until("it to be decided", || {
        let output = zeron(&site, &["logs", job]);
        output.stderr.contains("Decided ").then_some(output)
    });
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(0), ""));
    let why = "has no Job whose pods could have written lines";
    assert!(nothing.stderr.contains(why), "{}", nothing.stderr);

    backlog(namespace, job, 2);
    let pods = working(&site, job, 2);
    let line = |pod: &Value, text: &str| format!("[{}] {text}", name(pod));
    until("the first words of both", || {
        let logs = said(&site, &["logs", job]);
        let is_said = |pod: &Value| logs.lines().any(|it| it == line(pod, WORDS));
        pods.iter().all(is_said).then_some(())
    });
    let (_, end_of_name) = name(&pods[0]).rsplit_once('-').unwrap();
    let chosen = said(&site, &["logs", job, "--replica", end_of_name]);
    assert_eq!(chosen, format!("{WORDS}\n"));

    let mut following = Following::start(&site, namespace, &["logs", job, "-f"]);
    let seen = |following: &Following, what: &str, pod: &Value, text: &str| {
        let line = line(pod, text);
        until(what, || (following.count(&line) == 1).then_some(()));
    };
    seen(&following, "what was said before", &pods[0], WORDS);
    seen(&following, "what was said before", &pods[1], WORDS);
    // Its work is done: its Job is complete, and what it wrote is there still.
    backlog(namespace, job, 1);
    end(&pods[0], 0);
    seen(&following, "the last words", &pods[0], LAST_WORDS);
    let kept = [line(&pods[0], WORDS), line(&pods[0], LAST_WORDS)];
    until("an ended Job's lines", || {
        let logs = said(&site, &["logs", job]);
        let of_it: Vec<_> = logs
            .lines()
            .filter(|it| kept[..].iter().any(|kept| kept == it))
            .collect();
        (of_it == kept).then_some(())
    });
    // A Job that comes later is followed too, and nothing is said twice.
    working(&site, job, 1);
    backlog(namespace, job, 2);
    let all = working(&site, job, 2);
    let is_new = |pod: &&Value| pods.iter().all(|known| name(known) != name(pod));
    let third = all.iter().find(is_new).unwrap();
    seen(&following, "a new pod's first words", third, WORDS);
    assert_eq!(following.count(&line(&pods[0], WORDS)), 1);
    // Without the ScaledJob there is nothing to follow.
    namespace.delete(SCALED_JOB, job);
    let status = within(AT_LAST, "it to end", || following.ended());
    assert!(status.success(), "{status}");
}
