//! A ScaledJob whose backlog is pods that nobody runs, counted by a `kubernetes-workload` trigger.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Value, json};
use zeron_tests::cluster::{Cluster, Installation, Namespace, Program, Roles};

pub(crate) const SCALED_JOB: &str = "keda.sh/v1alpha1/ScaledJob";
pub(crate) const JOB: &str = "batch/v1/Job";

/// An autoscaler, and where it works, for all tests that run at the same time.
pub(crate) struct Site {
    // Dropped in this order: whoever writes ends before what it writes on.
    roles: Installation,
    pub(crate) namespace: Namespace,
}

impl Site {
    /// The site; `None` where there is no cluster.
    pub(crate) fn get(test: &str) -> Option<Arc<Self>> {
        static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        let cluster = Cluster::get(&format!("kubernetes_jobs::{test}"))?;
        let mut known = SITE.lock().unwrap_or_else(PoisonError::into_inner);
        let site = known.upgrade().unwrap_or_else(|| {
            cluster.install_crds();
            let namespace = cluster.namespace("jobs");
            let roles = Roles::of(&namespace).activators(0).controllers(0).start();
            Arc::new(Self { roles, namespace })
        });
        *known = Arc::downgrade(&site);
        Some(site)
    }
}

impl Site {
    /// What `zeron ARGUMENTS` prints of the autoscaler's functions.
    pub(crate) fn zeron(&self, arguments: &[&str]) -> String {
        let api = self.roles.folder().join("autoscaler-0.api");
        let admin = format!("unix:{}", api.display());
        let address = ["--admin", &admin, "-n", self.namespace.name()];
        let all: Vec<&str> = arguments.iter().copied().chain(address).collect();
        let output = zeron_tests::command(&all, |_| ());
        format!("{}{}", output.stdout, output.stderr)
    }
}

/// Pods that count as work and that nobody runs.
pub(crate) fn backlog(namespace: &Namespace, name: &str, count: usize) {
    let there = namespace.list("v1/Pod", &format!("work={name}"));
    for pod in there.iter().skip(count) {
        namespace.delete("v1/Pod", pod["metadata"]["name"].as_str().unwrap());
    }
    for number in there.len()..count {
        namespace.apply(&format!(
            "
apiVersion: v1
kind: Pod
metadata: {{ name: {name}-work-{number}, labels: {{ work: {name} }} }}
spec: {{ schedulerName: nobody, terminationGracePeriodSeconds: 0, containers: [{{ name: work, image: none }}] }}
"
        ));
    }
}

/// What the pods of Jobs do.
#[derive(Clone, Copy)]
pub(crate) enum Life {
    /// They are never started.
    Waiting,
    /// They run until they are stopped.
    Running,
    /// They end at once, with this code.
    Ending(u8),
}

/// A ScaledJob for the backlog of its name, one Job per pod, asked every second.
#[expect(clippy::needless_pass_by_value, reason = "callers write json!(..)")]
pub(crate) fn scaled_job(namespace: &Namespace, name: &str, life: Life, spec: Value) {
    let image = namespace.cluster().image(Program::Function);
    let mut container = json!({ "name": "main", "image": image, "imagePullPolicy": "Never" });
    if let Life::Ending(code) = life {
        container["args"] = json!(["--exit-at-once", code.to_string()]);
    }
    let mut pod = json!({
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container],
    });
    if matches!(life, Life::Waiting) {
        pod["schedulerName"] = json!("nobody");
    }
    let mut object = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledJob",
        "metadata": { "name": name, "labels": { "team": "jobs", "hidden": "yes" }, "annotations": {
            "scaledjob.keda.sh/job-excluded-labels": "hidden",
        } },
        "spec": {
            "pollingInterval": 1,
            "jobTargetRef": { "backoffLimit": 0, "template": { "spec": pod } },
            "triggers": [{
                "type": "kubernetes-workload",
                "metadata": { "podSelector": format!("work={name}"), "value": "1" },
            }],
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    namespace.apply(&object.to_string());
}

/// The Jobs of a ScaledJob.
pub(crate) fn jobs(namespace: &Namespace, name: &str) -> Vec<Value> {
    namespace.list(JOB, &of(name))
}

pub(crate) fn of(name: &str) -> String {
    format!("scaledjob.keda.sh/name={name}")
}

/// Waits until there are so many Jobs, and returns them.
pub(crate) fn wait_jobs(namespace: &Namespace, name: &str, count: usize) -> Vec<Value> {
    let what = format!("to be {count} Jobs of {name}");
    namespace.wait_list(JOB, &of(name), &what, |jobs| {
        (jobs.len() == count).then(|| jobs.to_vec())
    })
}

/// Whether it ended, well or not.
pub(crate) fn is_over(job: &Value, kind: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    let is_it = |it: &Value| it["type"] == kind && it["status"] == "True";
    conditions.is_some_and(|all| all.iter().any(is_it))
}

/// Whether an event of this reason was told of the object.
pub(crate) fn is_told(namespace: &Namespace, name: &str, reason: &str) -> bool {
    let events = namespace.events(name);
    events.iter().any(|(it, _)| it == reason)
}
