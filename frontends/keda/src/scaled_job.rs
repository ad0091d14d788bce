//! ScaledJob: Jobs that are created for what its triggers measure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use zeron_core::ObjectRef;
use zeron_core::job::{JobCalculation, JobScaling, JobStrategy};
use zeron_core::policy::{Behavior, MetricScaling, Pause, Scaling, TriggerGroup};
use zeron_manifest::{ConfigSet, Fields, Header, Node, Platform, PodSpec, Problems, Scope};

use crate::pause;
use crate::scaled_object::{Bindings, Environment, check_name};
use crate::target::{Dialect, ScaleTarget};
use crate::trigger::{Owner, TriggerDraft};

/// KEDA's defaults.
const DEFAULT_MAX: u32 = 100;
const DEFAULT_HISTORY: u32 = 100;
const MOST: i64 = i32::MAX as i64;
/// Names labels of the ScaledJob that its Jobs do not get.
const EXCLUDED_LABELS: &str = "scaledjob.keda.sh/job-excluded-labels";

/// A ScaledJob, read and checked; [`bind`](Self::bind) finds what its triggers refer to.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledJob {
    /// Which object it is.
    pub object: ObjectRef,
    /// Itself, as what it scales: it has the pods whose environment its triggers may name.
    pub target: ScaleTarget,
    /// Whether people stopped it.
    pub pause: Pause,
    /// How measurements become Jobs.
    pub scaling: JobScaling,
    /// What a Job is made of, and what becomes of it.
    pub template: JobTemplate,
    /// The containers of its pods.
    pub environments: Vec<Environment>,
    min: u32,
    max: u32,
    triggers: Vec<TriggerDraft>,
    polling_interval: Duration,
}

/// What the Jobs of a ScaledJob are made of, and what becomes of them.
#[derive(Clone, PartialEq)]
pub struct JobTemplate {
    /// `metadata.generation` of the version that this is of.
    pub generation: i64,
    /// Labels that every Job gets.
    pub labels: BTreeMap<String, String>,
    /// Annotations that every Job gets.
    pub annotations: BTreeMap<String, String>,
    /// batch/v1 JobSpec.
    pub spec: Value,
    /// Finished Jobs that are kept: those that succeeded, those that failed.
    pub history: (u32, u32),
    /// Jobs of older generations are deleted.
    pub is_rolled_out_at_once: bool,
    /// Jobs are deleted after their pods, not before.
    pub is_deleted_in_foreground: bool,
    /// Conditions that a pod must have for its Job to count as at work; none: that it runs.
    pub pending_pod_conditions: Vec<String>,
}

/// Without the Job itself: its environment may hold secrets.
impl fmt::Debug for JobTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobTemplate")
            .field("generation", &self.generation)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

impl ScaledJob {
    /// Reads a ScaledJob; `None`, with problems, when it has no Job.
    pub fn read(scope: &Scope<'_>, header: &Header, config: &ConfigSet) -> Option<Self> {
        check_name(scope, header);
        let root = scope.root();
        let spec = root.fields("spec");
        report_annotations(scope, header);
        let target = ScaleTarget {
            api_version: header.object.api_version.clone(),
            kind: header.object.kind.clone(),
            name: header.object.name.clone(),
            container: spec
                .string("envSourceContainerName")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        };
        let (min, max) = bounds(&spec);
        let (scaling, conditions) = strategy(&spec);
        let triggers = triggers(&spec);
        let polling_interval = spec.seconds("pollingInterval", 1..=MOST);
        let rollout = rollout(&spec);
        let history = (
            history(&spec, "successfulJobsHistoryLimit"),
            history(&spec, "failedJobsHistoryLimit"),
        );
        let job = job(&spec);
        let environments = environments(scope, header, config);
        check_container(&spec, &target, &environments);
        Some(Self {
            object: header.object.clone(),
            target,
            pause: Pause {
                is_frozen: pause::is_frozen(header),
                ..Pause::default()
            },
            scaling,
            template: JobTemplate {
                generation: generation(scope),
                labels: labels(header),
                annotations: annotations(header),
                spec: job?,
                history,
                is_rolled_out_at_once: rollout.is_at_once,
                is_deleted_in_foreground: rollout.is_in_foreground,
                pending_pod_conditions: conditions,
            },
            environments,
            min,
            max,
            triggers,
            polling_interval: polling_interval.unwrap_or(Duration::from_secs(30)),
        })
    }

    /// The types of its triggers, in their order.
    pub fn trigger_types(&self) -> impl Iterator<Item = &str> {
        self.triggers.iter().map(|trigger| trigger.kind.as_str())
    }

    /// The trigger group, with everything found that its triggers refer to.
    pub fn bind(&self, scope: &Scope<'_>, bindings: &Bindings<'_>) -> TriggerGroup {
        let owner = Owner {
            object: &self.object,
            target: &self.target,
            is_resource_only: false,
            has_formula: false,
        };
        let bound = |trigger: &TriggerDraft| trigger.bind(scope, &owner, bindings);
        TriggerGroup {
            source: self.object.clone(),
            min: self.min,
            max: Some(self.max),
            scaling: Scaling::Metric(MetricScaling {
                triggers: self.triggers.iter().filter_map(bound).collect(),
                polling_interval: self.polling_interval,
                // Jobs end by themselves.
                cooldown: Duration::ZERO,
                initial_cooldown: Duration::ZERO,
                idle: None,
                fallback: None,
                formula: None,
                behavior: Behavior::default(),
                is_forced_active: false,
            }),
        }
    }
}

fn generation(scope: &Scope<'_>) -> i64 {
    let generation = scope.document().value.pointer("/metadata/generation");
    generation.and_then(Value::as_i64).unwrap_or_default()
}

fn report_annotations(scope: &Scope<'_>, header: &Header) {
    for key in header.meta.annotations.keys() {
        let name = key.strip_prefix("autoscaling.keda.sh/");
        if name.is_some_and(|name| name != "paused") {
            let path = format!("metadata.annotations[{key}]");
            scope.without_effect(&path, "has no effect on a ScaledJob");
        }
    }
}

fn labels(header: &Header) -> BTreeMap<String, String> {
    let excluded = header.meta.annotations.get(EXCLUDED_LABELS);
    let excluded: BTreeSet<&str> = excluded
        .into_iter()
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .collect();
    let all = header.meta.labels.iter();
    let kept = all.filter(|(name, _)| !excluded.contains(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Without marks of ours, which are about the ScaledJob alone.
fn annotations(header: &Header) -> BTreeMap<String, String> {
    let all = header.meta.annotations.iter();
    let theirs = all.filter(|(name, _)| !name.starts_with("zeron.dev/"));
    theirs
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn bounds(spec: &Fields<'_>) -> (u32, u32) {
    let min = spec.integer("minReplicaCount", 0..=MOST).unwrap_or(0);
    let max = spec
        .integer("maxReplicaCount", 1..=MOST)
        .unwrap_or(DEFAULT_MAX);
    if min > max {
        let message = format!(
            "{min}: lies above maxReplicaCount ({max}): no more than {max} Jobs are created"
        );
        spec.warn("minReplicaCount", message);
    }
    (min, max)
}

fn history(spec: &Fields<'_>, name: &str) -> u32 {
    spec.integer(name, 0..=MOST).unwrap_or(DEFAULT_HISTORY)
}

/// `scalingStrategy`, and the conditions of pods that it names.
fn strategy(spec: &Fields<'_>) -> (JobScaling, Vec<String>) {
    let Some(fields) = spec.optional_fields("scalingStrategy") else {
        return (JobScaling::default(), Vec::new());
    };
    let deduction = fields.integer("customScalingQueueLengthDeduction", 0..=MOST);
    let running_share = running_share(&fields);
    let custom = JobStrategy::Custom {
        deduction: deduction.unwrap_or(0),
        running_share: running_share.unwrap_or(0.0),
    };
    let strategies = [
        ("default", JobStrategy::Default),
        ("custom", custom),
        ("accurate", JobStrategy::Accurate),
        ("eager", JobStrategy::Eager),
    ];
    let calculations = [
        ("max", JobCalculation::Max),
        ("min", JobCalculation::Min),
        ("avg", JobCalculation::Avg),
        ("sum", JobCalculation::Sum),
    ];
    let scaling = JobScaling {
        strategy: fields.choice("strategy", &strategies).unwrap_or_default(),
        calculation: fields
            .choice("multipleScalersCalculation", &calculations)
            .unwrap_or_default(),
    };
    if scaling.strategy != custom {
        for name in [
            "customScalingQueueLengthDeduction",
            "customScalingRunningJobPercentage",
        ] {
            if fields.has(name) {
                fields.warn(name, "has an effect only with the strategy custom");
            }
        }
    }
    (scaling, fields.strings("pendingPodConditions"))
}

/// A share such as `"0.5"`: text, as the original has it.
fn running_share(fields: &Fields<'_>) -> Option<f64> {
    let name = "customScalingRunningJobPercentage";
    let text = fields.string(name).filter(|text| !text.is_empty())?;
    let share = text.trim().parse::<f64>().ok();
    let share = share.filter(|share| share.is_finite() && *share >= 0.0);
    if share.is_none() {
        fields.error(name, format!("{text:?}: must be a number of at least 0"));
    }
    share
}

/// What becomes of Jobs of older generations.
#[derive(Clone, Copy)]
struct Rollout {
    is_at_once: bool,
    is_in_foreground: bool,
}

fn rollout(spec: &Fields<'_>) -> Rollout {
    let strategies = [("immediate", true), ("gradual", false)];
    let old = spec.choice("rolloutStrategy", &strategies);
    if spec.has("rolloutStrategy") {
        spec.warn("rolloutStrategy", "is deprecated: rollout.strategy");
    }
    let fields = spec.optional_fields("rollout");
    let newer = fields
        .as_ref()
        .and_then(|fields| fields.choice("strategy", &strategies));
    let propagations = [("foreground", true), ("background", false)];
    let propagation = fields.and_then(|it| it.choice("propagationPolicy", &propagations));
    Rollout {
        is_at_once: newer.or(old).unwrap_or(true),
        is_in_foreground: propagation.unwrap_or(false),
    }
}

/// The JobSpec, as far as it is judged before a Job is made.
fn job(spec: &Fields<'_>) -> Option<Value> {
    let Some(node) = spec.get("jobTargetRef") else {
        spec.error("jobTargetRef", "is missing");
        return None;
    };
    let job = node.value();
    let pod = job.pointer("/template/spec");
    let path = format!("{}.template.spec", node.path());
    let containers = pod.and_then(|pod| pod.get("containers")?.as_array());
    if containers.is_none_or(Vec::is_empty) {
        let message = "is missing: a Job needs one container at least";
        spec.scope().error(&format!("{path}.containers"), message);
        return None;
    }
    let policy = pod.and_then(|pod| pod.get("restartPolicy")?.as_str());
    if policy == Some("Always") {
        let message = "\"Always\": a Job needs OnFailure (the default here) or Never";
        spec.scope()
            .error(&format!("{path}.restartPolicy"), message);
        return None;
    }
    Some(job.clone())
}

/// The variables that triggers may name. What a cluster will check when a Job is made is not
/// judged here.
fn environments(scope: &Scope<'_>, header: &Header, config: &ConfigSet) -> Vec<Environment> {
    let muted = Problems::muted(Platform::Cluster);
    let quiet = Scope::new(scope.document(), &muted, None);
    let root = quiet.root();
    let job = root.fields("spec").fields("jobTargetRef");
    let pod = job.fields("template").optional_fields("spec");
    let pod = pod.and_then(|pod| PodSpec::read(&pod, &header.object.namespace, config));
    let containers = pod.map(|pod| pod.containers).unwrap_or_default();
    let environment = |container: zeron_manifest::Container| Environment {
        container: container.name,
        variables: container.env,
        ..Environment::default()
    };
    containers.into_iter().map(environment).collect()
}

fn check_container(spec: &Fields<'_>, target: &ScaleTarget, environments: &[Environment]) {
    if let Some(name) = &target.container
        && !environments.is_empty()
        && !environments.iter().any(|it| it.container == *name)
    {
        let message = format!("{name:?}: the Job's pods have no such container");
        spec.error("envSourceContainerName", message);
    }
}

fn triggers(spec: &Fields<'_>) -> Vec<TriggerDraft> {
    let nodes = spec.items("triggers");
    if nodes.is_empty() {
        spec.error("triggers", "are missing: at least one is needed");
    }
    let mut names = BTreeSet::new();
    let mut triggers = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        check_trigger(spec.scope(), node);
        if is_resource(node) {
            continue;
        }
        let trigger = TriggerDraft::read(node, index, Dialect::Keda2);
        if let Some(name) = trigger.as_ref().and_then(|it| it.name.clone())
            && !names.insert(name.clone())
        {
            node.error(format!(
                "name {name:?}: another trigger has this name; names must be unique"
            ));
        }
        triggers.extend(trigger);
    }
    triggers
}

fn is_resource(node: &Node<'_>) -> bool {
    let kind = node.value().get("type").and_then(Value::as_str);
    matches!(kind, Some("cpu" | "memory"))
}

/// What a trigger of a ScaledObject may say and one of a ScaledJob may not.
fn check_trigger(scope: &Scope<'_>, node: &Node<'_>) {
    let (value, path) = (node.value(), node.path());
    if is_resource(node) {
        scope.error(
            &format!("{path}.type"),
            "cpu and memory measure pods that run already: they do not fit a ScaledJob",
        );
    }
    if value.get("metricType").is_some_and(|it| !it.is_null()) {
        scope.error(
            &format!("{path}.metricType"),
            "triggers of a ScaledJob do not take it",
        );
    }
    if value.get("useCachedMetrics") == Some(&Value::Bool(true)) {
        scope.without_effect(
            &format!("{path}.useCachedMetrics"),
            "has no effect in a ScaledJob",
        );
    }
    let kind = value.get("type").and_then(Value::as_str);
    let names_http = |key: &str| value.pointer(&format!("/metadata/{key}")).is_some();
    if matches!(kind, Some("external" | "external-push"))
        && (names_http("interceptorRoute") || names_http("httpScaledObject"))
    {
        scope.error(
            &format!("{path}.metadata"),
            "requests are answered by replicas: they do not fit a ScaledJob",
        );
    }
}
