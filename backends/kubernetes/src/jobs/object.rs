//! What the Jobs of a ScaledJob are made of, and how one is made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use zeron_core::FunctionId;

/// On Jobs and their pods: the ScaledJob that they are of.
pub(super) const NAME: &str = "scaledjob.keda.sh/name";
/// On Jobs: the ScaledJob's generation that they are of.
pub(super) const GENERATION: &str = "scaledjob.keda.sh/generation";
/// Longest name, of which the last characters tell Jobs apart.
const MAX_NAME: usize = 63;
const SUFFIX: usize = 5;
/// What Kubernetes puts into generated names: no vowels, so that no words come out.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A ScaledJob, as far as its Jobs are concerned.
#[derive(Clone, PartialEq)]
pub struct JobObject {
    /// The function whose work the Jobs do.
    pub id: FunctionId,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its UID, which owns the Jobs.
    pub uid: Arc<str>,
    /// The generation of the version that this is of.
    pub generation: i64,
    /// Labels that every Job gets.
    pub labels: BTreeMap<String, String>,
    /// Annotations that every Job gets.
    pub annotations: BTreeMap<String, String>,
    /// batch/v1 JobSpec.
    pub spec: Value,
    /// Succeeded Jobs that are kept.
    pub kept_succeeded: u32,
    /// Failed Jobs that are kept.
    pub kept_failed: u32,
    /// Jobs of older generations are deleted.
    pub is_rolled_out_at_once: bool,
    /// They are deleted after their pods, not before.
    pub is_deleted_in_foreground: bool,
    /// Conditions that a pod must have for its Job to count as at work; none: that it runs.
    pub pending_pod_conditions: Vec<String>,
}

/// Without the Job itself: its environment may hold secrets.
impl fmt::Debug for JobObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobObject")
            .field("id", &self.id)
            .field("uid", &self.uid)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl JobObject {
    /// The path of a Job, or of all.
    pub(super) fn path(&self, job: Option<&str>) -> String {
        let all = format!("/apis/batch/v1/namespaces/{}/jobs", self.namespace);
        job.map_or_else(|| all.clone(), |name| format!("{all}/{name}"))
    }

    /// A name that nobody has: whoever does not hear whether a Job was made asks for it again.
    pub(super) fn new_name(&self, mut random: impl FnMut() -> f64) -> String {
        let most = MAX_NAME - SUFFIX - 1;
        let stem = &self.name[..self.name.floor_char_boundary(most)];
        let letter = |_| {
            let at = (random() * 27.0).floor();
            let at = (0..26_u8).find(|it| f64::from(*it) >= at).unwrap_or(26);
            char::from(ALPHABET[usize::from(at)])
        };
        let suffix: String = (0..SUFFIX).map(letter).collect();
        format!("{}-{suffix}", stem.trim_end_matches(['-', '.']))
    }

    /// The Job `name`, with the original's labels, annotations and owner.
    pub(super) fn manifest(&self, name: &str) -> Value {
        let own: &str = &self.name;
        let mut labels = BTreeMap::from([
            ("app.kubernetes.io/name", own),
            ("app.kubernetes.io/version", env!("CARGO_PKG_VERSION")),
            ("app.kubernetes.io/part-of", own),
            ("app.kubernetes.io/managed-by", "keda-operator"),
        ]);
        let declared = self.labels.iter();
        labels.extend(declared.map(|(name, value)| (name.as_str(), value.as_str())));
        labels.insert(NAME, own);
        let mut annotations = self.annotations.clone();
        annotations.insert(GENERATION.to_owned(), self.generation.to_string());
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "generateName": format!("{own}-"),
                "namespace": self.namespace,
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [{
                    "apiVersion": "keda.sh/v1alpha1",
                    "kind": "ScaledJob",
                    "name": own,
                    "uid": self.uid,
                    "controller": true,
                    "blockOwnerDeletion": true,
                }],
            },
            "spec": self.job_spec(),
        })
    }

    /// The spec, whose pods say whose they are and are not started again for ever.
    fn job_spec(&self) -> Value {
        let mut spec = self.spec.clone();
        let template = &mut spec["template"];
        let policy = template["spec"]["restartPolicy"].as_str();
        if policy.is_none_or(str::is_empty) {
            template["spec"]["restartPolicy"] = json!("OnFailure");
        }
        if !template["metadata"].is_object() {
            template["metadata"] = json!({});
        }
        if !template["metadata"]["labels"].is_object() {
            template["metadata"]["labels"] = json!({});
        }
        template["metadata"]["labels"][NAME] = json!(self.name);
        spec
    }
}

#[cfg(test)]
pub(super) fn example(name: &str) -> JobObject {
    JobObject {
        id: FunctionId::of("keda.sh/v1alpha1", "ScaledJob", "shop", name),
        namespace: "shop".into(),
        name: name.into(),
        uid: "11".into(),
        generation: 3,
        labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        annotations: BTreeMap::from([("note".to_owned(), "b".to_owned())]),
        spec: json!({ "template": { "spec": { "containers": [{ "name": "main" }] } } }),
        kept_succeeded: 100,
        kept_failed: 100,
        is_rolled_out_at_once: true,
        is_deleted_in_foreground: false,
        pending_pod_conditions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_whose_it_is_as_the_original_does() {
        let job = example("orders").manifest("orders-x");
        let metadata = &job["metadata"];
        assert_eq!(metadata["generateName"], "orders-");
        assert_eq!(
            metadata["labels"],
            json!({
                "app.kubernetes.io/name": "orders",
                "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
                "app.kubernetes.io/part-of": "orders",
                "app.kubernetes.io/managed-by": "keda-operator",
                "scaledjob.keda.sh/name": "orders",
                "team": "a",
            })
        );
        assert_eq!(
            metadata["annotations"],
            json!({ "note": "b", "scaledjob.keda.sh/generation": "3" })
        );
        let owner = &metadata["ownerReferences"][0];
        assert_eq!(
            (&owner["uid"], &owner["controller"]),
            (&json!("11"), &json!(true))
        );
        let pod = &job["spec"]["template"];
        assert_eq!(pod["spec"]["restartPolicy"], "OnFailure");
        assert_eq!(pod["metadata"]["labels"][NAME], "orders");
    }

    #[test]
    fn a_restart_policy_that_is_given_stays() {
        let mut object = example("orders");
        object.spec["template"]["spec"]["restartPolicy"] = json!("Never");
        let job = object.manifest("orders-x");
        assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
    }

    #[test]
    fn names_are_valid_however_long_the_scaled_job_is_called() {
        let long = "a".repeat(57) + "-bcdef";
        let name = example(&long).new_name(|| 0.999_999);
        assert_eq!(name, "a".repeat(57) + "-99999");
        assert!(name.len() <= MAX_NAME);
        assert_eq!(example("orders").new_name(|| 0.0), "orders-bbbbb");
    }
}
