//! One Job and one pod of a Job, as little of them as is needed.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use zeron_core::{FunctionId, Timestamp};

use super::object::{GENERATION, NAME};
use super::raw::{RawCondition, RawJob, RawJobPod};
use crate::target::parse_time;

/// How far a Job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Unfinished,
    /// When it finished.
    Succeeded(Timestamp),
    /// When it finished.
    Failed(Timestamp),
}

/// A Job of a ScaledJob.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) name: Arc<str>,
    /// The ScaledJob that controls it.
    pub(super) owner: Option<Box<str>>,
    pub(super) generation: Option<i64>,
    pub(super) progress: Progress,
    /// Its own status says that a pod is ready, or has succeeded.
    pub(super) is_at_work: bool,
    pub(super) is_deleting: bool,
    /// The list in which it was last seen, or that was the newest when it was made.
    pub(super) seen: u64,
}

/// A pod of a Job.
#[derive(Clone, Debug)]
pub(super) struct JobPod {
    /// UID of its Job.
    pub(super) job: Arc<str>,
    /// It runs, or has succeeded.
    pub(super) runs: bool,
    /// Conditions that are true.
    pub(super) conditions: Box<[Box<str>]>,
    pub(super) seen: u64,
}

/// The function that a Job or a pod belongs to, by its label.
pub(super) fn function_of(metadata: &ObjectMeta) -> Option<FunctionId> {
    let name = metadata.labels.as_ref()?.get(NAME)?;
    let namespace = metadata.namespace.as_deref()?;
    Some(FunctionId::of(
        "keda.sh/v1alpha1",
        "ScaledJob",
        namespace,
        name,
    ))
}

impl Job {
    /// Takes what is needed, and the UID.
    pub(super) fn read(raw: &RawJob, seen: u64) -> Option<(Arc<str>, Self)> {
        let metadata = &raw.metadata;
        let uid: Arc<str> = metadata.uid.as_deref()?.into();
        let generation = metadata
            .annotations
            .as_ref()
            .and_then(|it| it.get(GENERATION));
        let job = Self {
            name: metadata.name.as_deref()?.into(),
            owner: controller(metadata, "ScaledJob"),
            generation: generation.and_then(|text| text.parse().ok()),
            progress: progress(raw),
            is_at_work: raw.status.ready > 0 || raw.status.succeeded > 0,
            is_deleting: metadata.deletion_timestamp.is_some(),
            seen,
        };
        Some((uid, job))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.progress != Progress::Unfinished
    }
}

impl JobPod {
    /// Takes what is needed, and the UID.
    pub(super) fn read(raw: &RawJobPod, seen: u64) -> Option<(Box<str>, Self)> {
        let true_ones = raw
            .status
            .conditions
            .iter()
            .filter(|it| it.status == "True");
        let pod = Self {
            job: controller(&raw.metadata, "Job")?.into(),
            runs: matches!(raw.status.phase.as_deref(), Some("Running" | "Succeeded")),
            conditions: true_ones.map(|it| it.kind.as_str().into()).collect(),
            seen,
        };
        Some((raw.metadata.uid.as_deref()?.into(), pod))
    }

    /// Whether its Job is at work, where that needs these conditions; none: that it runs.
    pub(super) fn is_at_work(&self, needed: &[String]) -> bool {
        let is_true = |kind: &String| self.conditions.iter().any(|it| **it == **kind);
        match needed {
            [] => self.runs,
            needed => needed.iter().all(is_true),
        }
    }
}

fn controller(metadata: &ObjectMeta, kind: &str) -> Option<Box<str>> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners
        .iter()
        .find(|owner| owner.controller == Some(true) && owner.kind == kind)?;
    Some(owner.uid.as_str().into())
}

fn progress(raw: &RawJob) -> Progress {
    let find = |kind: &str| {
        let conditions = raw.status.conditions.iter();
        conditions
            .into_iter()
            .find(|it| it.kind == kind && it.status == "True")
    };
    let finished = |condition: &RawCondition| {
        let at = raw.status.completion_time.as_deref();
        let at = at.or(condition.last_transition_time.as_deref());
        at.and_then(parse_time).unwrap_or_default()
    };
    match (find("Complete"), find("Failed")) {
        (Some(complete), _) => Progress::Succeeded(finished(complete)),
        (None, Some(failed)) => Progress::Failed(finished(failed)),
        (None, None) => Progress::Unfinished,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_over_when_it_is_complete_or_failed() {
        let of = |conditions: serde_json::Value| {
            let raw = json!({
                "metadata": { "name": "a", "uid": "1" }, "status": { "conditions": conditions },
            });
            Job::read(&serde_json::from_value(raw).unwrap(), 1)
                .unwrap()
                .1
                .progress
        };
        let condition = |kind: &str, status: &str| json!([{ "type": kind, "status": status, "lastTransitionTime": "1970-01-01T00:00:07Z" }]);
        let at = Timestamp::from_secs(7);
        assert_eq!(of(condition("Complete", "True")), Progress::Succeeded(at));
        assert_eq!(of(condition("Failed", "True")), Progress::Failed(at));
        assert_eq!(of(condition("Complete", "False")), Progress::Unfinished);
        assert_eq!(of(condition("FailureTarget", "True")), Progress::Unfinished);
        assert_eq!(of(json!([])), Progress::Unfinished);
    }

    #[test]
    fn a_pod_is_at_work_when_it_runs_or_has_every_condition_asked_for() {
        let raw = json!({
            "metadata": { "uid": "2", "ownerReferences": [
                { "apiVersion": "batch/v1", "kind": "Job", "name": "a", "uid": "1", "controller": true },
            ] },
            "status": { "phase": "Running", "conditions": [
                { "type": "Ready", "status": "False" }, { "type": "PodScheduled", "status": "True" },
            ] },
        });
        let (_, pod) = JobPod::read(&serde_json::from_value(raw).unwrap(), 1).unwrap();
        let needs = |kinds: &[&str]| {
            let kinds: Vec<String> = kinds.iter().map(|it| (*it).to_owned()).collect();
            pod.is_at_work(&kinds)
        };
        assert!(needs(&[]) && needs(&["PodScheduled"]));
        assert!(!needs(&["Ready", "PodScheduled"]));
    }
}
