//! A namespace of a test's own, and what a test does in it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Cluster, objects};

const NAMESPACE: &str = "v1/Namespace";

/// A namespace. It is deleted, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    cluster: &'static Cluster,
    name: String,
}

impl Namespace {
    pub(super) fn create(cluster: &'static Cluster, prefix: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // One that an earlier process of the same id left behind must not be taken for a fresh one.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |time| time.as_secs() % 1_000_000);
        let name = format!("{prefix}-{}-{now}-{number}", std::process::id());
        let labels = json!({ "zeron.dev/test": "true" });
        cluster.apply_one(
            None,
            &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } }),
        );
        if cluster.node.is_some() {
            // Before that no pod can be made.
            let exists = |account: &Value| (!account.is_null()).then_some(());
            cluster.wait_in(
                Some(&name),
                "v1/ServiceAccount",
                "default",
                "to exist",
                exists,
            );
        }
        Self { cluster, name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster it is in.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// Applies documents (YAML, one or many), server-side; those that name no namespace belong here.
    ///
    /// # Panics
    /// When the API server refuses one.
    pub fn apply(&self, documents: &str) -> Vec<Value> {
        self.cluster.apply_in(Some(&self.name), documents)
    }

    /// Applies one document and returns what the API server says to it: the object, or the words of its refusal.
    ///
    /// # Errors
    /// The message of the API server, or of an admission webhook behind it.
    ///
    /// # Panics
    /// When the text is no YAML of one document.
    pub fn try_apply(&self, document: &str) -> Result<Value, String> {
        let documents = objects::documents(document);
        let [document] = &documents[..] else {
            panic!("one document is applied at a time");
        };
        match self.cluster.try_apply(Some(&self.name), document) {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) => Err(status.message),
            Err(error) => Err(error.to_string()),
        }
    }

    /// An object, if it exists. A kind is written `v1/Pod` or `apps/v1/Deployment`.
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.cluster.get_in(Some(&self.name), kind, name)
    }

    /// All objects of a kind with these labels (a selector; empty for all).
    pub fn list(&self, kind: &str, labels: &str) -> Vec<Value> {
        self.cluster.list_in(Some(&self.name), kind, labels)
    }

    /// Deletes an object; its dependents follow in the background.
    pub fn delete(&self, kind: &str, name: &str) {
        self.cluster.delete_in(Some(&self.name), kind, name);
    }

    /// Asks for a pod's eviction, as `kubectl drain` does: false while a budget does not let it go.
    ///
    /// # Panics
    /// When the API server refuses it for another reason.
    pub fn evict(&self, pod: &str) -> bool {
        self.cluster.evict_in(&self.name, pod)
    }

    /// A merge patch, such as `json!({"metadata": {"annotations": {...}}})`.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json!(..)")]
    pub fn patch(&self, kind: &str, name: &str, patch: Value) -> Value {
        self.cluster
            .patch_in(Some(&self.name), kind, name, None, &patch)
    }

    /// The same of a subresource, such as `status`.
    #[expect(clippy::needless_pass_by_value, reason = "callers write json!(..)")]
    pub fn patch_part(&self, kind: &str, name: &str, part: &str, patch: Value) -> Value {
        self.cluster
            .patch_in(Some(&self.name), kind, name, Some(part), &patch)
    }

    /// Sets the replicas of a scale target by hand, through its `/scale`.
    pub fn scale(&self, kind: &str, name: &str, replicas: u32) {
        self.patch_part(
            kind,
            name,
            "scale",
            json!({ "spec": { "replicas": replicas } }),
        );
    }

    /// The replicas that a scale target asks for; a count that its object leaves out is 0 for a custom kind and 1 for others.
    ///
    /// # Panics
    /// When it does not exist.
    pub fn replicas(&self, kind: &str, name: &str) -> u64 {
        let object = self
            .get(kind, name)
            .unwrap_or_else(|| panic!("there is no {kind} {name}"));
        asked(kind, &object)
    }

    /// Waits, on a watch, until `look` finds something in the object; while it does not exist it is null.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait<T>(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        look: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        self.cluster
            .wait_in(Some(&self.name), kind, name, what, look)
    }

    /// The same for a list of objects.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_list<T>(
        &self,
        kind: &str,
        labels: &str,
        what: &str,
        look: impl FnMut(&[Value]) -> Option<T>,
    ) -> T {
        self.cluster
            .wait_list_in(Some(&self.name), kind, labels, what, look)
    }

    /// Waits until a condition of the object's status has this status (`True`, `False`, `Unknown`), and returns the condition.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_condition(&self, kind: &str, name: &str, condition: &str, status: &str) -> Value {
        let what = format!("to have {condition}={status}");
        self.wait(kind, name, &what, |object| {
            let conditions = object["status"]["conditions"].as_array()?;
            let is_it = |c: &&Value| c["type"] == condition && c["status"] == status;
            conditions.iter().find(is_it).cloned()
        })
    }

    /// Waits until a condition has this status for this reason, and returns it: what an object asks for may become known after
    /// the object, and be missed for so long.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_reason(&self, kind: &str, name: &str, wanted: [&str; 3]) -> Value {
        let what = format!("to have {}={} for {}", wanted[0], wanted[1], wanted[2]);
        self.wait(kind, name, &what, |object| {
            let conditions = object["status"]["conditions"].as_array()?;
            let is_it = |c: &&Value| ["type", "status", "reason"].map(|key| &c[key]) == wanted;
            conditions.iter().find(is_it).cloned()
        })
    }

    /// Waits until a scale target asks for so many replicas.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_replicas(&self, kind: &str, name: &str, replicas: u64) {
        let what = format!("to ask for {replicas} replicas");
        self.wait(kind, name, &what, |object| {
            (!object.is_null() && asked(kind, object) == replicas).then_some(())
        });
    }

    /// Waits until so many pods with these labels are ready and no others are left, and returns them.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_pods(&self, labels: &str, count: usize) -> Vec<Value> {
        let what = format!("to be {count} ready pods");
        self.wait_list("v1/Pod", labels, &what, |pods| {
            let is_ready =
                |pod: &Value| objects::condition(&pod["status"], "Ready") == Some("True");
            (pods.len() == count && pods.iter().all(is_ready)).then(|| pods.to_vec())
        })
    }

    /// Makes a pod that no node runs and that says it is ready at this address: how others find an activator that is a
    /// process of this machine.
    pub fn stand_in(&self, name: &str, address: IpAddr) {
        self.apply(&format!(
            "
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{ app.kubernetes.io/name: zeron, app.kubernetes.io/component: activator }}
spec:
  schedulerName: nobody
  terminationGracePeriodSeconds: 0
  containers: [{{ name: activator, image: none }}]
"
        ));
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let ip = address.to_string();
        let status = json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": ready });
        self.patch_part("v1/Pod", name, "status", json!({ "status": status }));
    }

    /// Waits until an object is gone.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_gone(&self, kind: &str, name: &str) {
        self.wait(kind, name, "to be gone", |object| {
            object.is_null().then_some(())
        });
    }

    /// Reason and message of every event about the object of this name.
    pub fn events(&self, name: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let about = |event: &Value| event["involvedObject"]["name"] == name;
        let events = self.list("v1/Event", "");
        let said = |event: &Value| (text(&event["reason"]), text(&event["message"]));
        events
            .iter()
            .filter(|event| about(event))
            .map(said)
            .collect()
    }

    /// What `kubectl ARGUMENTS` prints in this namespace.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let all = [&["--namespace", &self.name], arguments].concat();
        self.cluster.kubectl(&all)
    }
}

fn asked(kind: &str, object: &Value) -> u64 {
    let default = u64::from(kind.starts_with("apps/"));
    object["spec"]["replicas"].as_u64().unwrap_or(default)
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Only to explain a failure: what cannot be had is left out.
            for what in ["all", "events"] {
                let shown = self
                    .cluster
                    .try_kubectl(&["--namespace", &self.name, "get", what]);
                eprintln!("--- {what} of {}\n{}", self.name, shown.unwrap_or_default());
            }
            eprintln!("--- {}", self.cluster.nodes_in_short());
        }
        self.cluster.delete_in(None, NAMESPACE, &self.name);
        // Who would do it has ended.
        self.cluster.let_go_in(&self.name);
    }
}
