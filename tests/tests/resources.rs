//! Triggers `cpu` and `memory` on one machine: what the processes of replicas use.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use zeron_tests::wait::within;
use zeron_tests::{Setup, Zeron, command};

/// A function without a port. While the file is there it has a child at work; both end with the file.
struct Worker {
    folder: TempDir,
}

impl Worker {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn begin(&self) {
        fs::write(self.file(), "").unwrap();
    }

    fn end(&self) {
        fs::remove_file(self.file()).unwrap();
    }
}

/// A Deployment of a script that is given the file, and one trigger.
fn manifest(file: &Path, script: &str, trigger: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: worker}}
spec:
  selector: {{matchLabels: {{app: worker}}}}
  template:
    metadata: {{labels: {{app: worker}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: worker
        command: [sh, -c]
        args: ["{script}"]
        env: [{{name: FILE, value: "{file}"}}]
        resources: {{requests: {{cpu: 200m, memory: 100Mi}}}}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: worker}}
spec:
  scaleTargetRef: {{name: worker}}
  pollingInterval: 1
  maxReplicaCount: 3
  advanced:
    horizontalPodAutoscalerConfig: {{behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}}}
  triggers:
  - {trigger}
"#,
        file = file.display()
    )
}

/// On a busy machine it may take a while until what rests is seen to.
const REST: Duration = Duration::from_secs(90);

/// One replica is asked for, by a decision that knows what it uses.
fn wait_for_rest(zeron: &Zeron) {
    within(REST, "one replica that is measured", || {
        let last = zeron.decisions("worker").pop()?;
        let is_known = last["asks"].to_string().contains("\"known\"");
        (last["desired"] == 1 && is_known).then_some(())
    });
}

fn follows_its_use(worker: &Worker, script: &str, trigger: &str) {
    let text = manifest(&worker.file(), script, trigger);
    let zeron = Setup::new().manifest("worker.yaml", &text).up();
    wait_for_rest(&zeron);
    worker.begin();
    zeron.wait_for("worker", "desired", 3);
    worker.end();
    wait_for_rest(&zeron);
}

#[test]
fn busy_replicas_are_joined_by_others_until_they_rest() {
    let script = "while :; do if [ -e $FILE ]; then timeout 0.5 sh -c 'while :; do :; done'; else sleep 2; fi; done";
    let trigger = "{type: cpu, metricType: Utilization, metadata: {value: '25'}}";
    follows_its_use(&Worker::new(), script, trigger);
}

#[test]
fn memory_of_children_is_counted_in_bytes_per_replica() {
    // Some 30 MiB in a child, against idle shells of one or two.
    let script = "while :; do if [ -e $FILE ]; then sh -c 'x=`yes | head -c 30000000`; while [ -e $FILE ]; do sleep 0.2; done'; else sleep 0.2; fi; done";
    let trigger = "{type: memory, metricType: AverageValue, metadata: {value: 12Mi}}";
    follows_its_use(&Worker::new(), script, trigger);
}

#[test]
fn a_share_of_what_nobody_requests_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("worker.yaml");
    let trigger = "{type: cpu, metricType: Utilization, metadata: {value: '25'}}";
    let text = manifest(&file, "exit", trigger);
    let text = text.replace(
        "        resources: {requests: {cpu: 200m, memory: 100Mi}}\n",
        "",
    );
    fs::write(&file, text).unwrap();
    let output = command(&["validate", file.to_str().unwrap()], |_| {});
    assert_eq!(output.code, Some(64));
    let expected = "error: ScaledObject default/worker: spec.triggers[0].type: a trigger of type cpu needs a cpu request (or limit) of container worker";
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(all.contains(expected), "{all}");
    assert!(all.contains("worker.yaml:27:"), "{all}");
}
