//! `keda.sh/v1alpha1` ScaledJob.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::{Condition, TriggerActivity};
use super::trigger::Trigger;

/// Which Jobs are made, by which triggers, between which bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaledJobSpec {
    /// The Job to make: batch/v1 JobSpec, checked when the Job is made.
    #[schemars(with = "AnyObject")]
    pub job_target_ref: serde_json::Value,
    /// Seconds between two questions to a source; 30 when none are given.
    #[schemars(range(min = 1))]
    pub polling_interval: Option<i32>,
    /// Succeeded Jobs that are kept; 100 when none are given.
    #[schemars(range(min = 0))]
    pub successful_jobs_history_limit: Option<i32>,
    /// Failed Jobs that are kept; 100 when none are given.
    #[schemars(range(min = 0))]
    pub failed_jobs_history_limit: Option<i32>,
    /// Deprecated: rollout.strategy.
    pub rollout_strategy: Option<RolloutStrategy>,
    /// What happens to running Jobs when this changes.
    pub rollout: Option<Rollout>,
    /// The container whose environment triggers may read; the first when none is given.
    pub env_source_container_name: Option<String>,
    /// Fewest Jobs at a time; 0 when none are given.
    #[schemars(range(min = 0))]
    pub min_replica_count: Option<i32>,
    /// Most Jobs at a time; 100 when none are given.
    #[schemars(range(min = 1))]
    pub max_replica_count: Option<i32>,
    /// How a backlog becomes Jobs.
    pub scaling_strategy: Option<ScalingStrategy>,
    /// The event sources.
    #[schemars(length(min = 1))]
    pub triggers: Vec<Trigger>,
}

/// What happens to running Jobs when the ScaledJob changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum RolloutStrategy {
    Gradual,
    Immediate,
}

/// How Jobs are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum PropagationPolicy {
    Foreground,
    Background,
}

/// What happens to running Jobs when the ScaledJob changes, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Whether they are let run to their end.
    pub strategy: Option<RolloutStrategy>,
    /// How they are deleted.
    pub propagation_policy: Option<PropagationPolicy>,
}

/// How a backlog becomes Jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingStrategy {
    /// Which arithmetic.
    pub strategy: Option<JobStrategy>,
    /// For custom: Jobs to take off.
    pub custom_scaling_queue_length_deduction: Option<i32>,
    /// For custom: share of the running Jobs to take off, a number in quotes.
    pub custom_scaling_running_job_percentage: Option<String>,
    /// Conditions of a pod that make its Job count as running.
    pub pending_pod_conditions: Option<Vec<String>>,
    /// How several triggers are joined.
    pub multiple_scalers_calculation: Option<MultipleScalersCalculation>,
}

/// How a backlog becomes Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum JobStrategy {
    Default,
    Custom,
    Accurate,
    Eager,
}

/// How several triggers are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum MultipleScalersCalculation {
    Min,
    Avg,
    Sum,
    Max,
}

/// An object whose fields are kept as they are.
#[derive(JsonSchema)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
struct AnyObject {}

/// What was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaledJobStatus {
    /// When a trigger last had work.
    #[schemars(extend("format" = "date-time"))]
    pub last_active_time: Option<String>,
    /// Ready, Active, Paused, and what else is to be said.
    pub conditions: Option<Vec<Condition>>,
    /// Whether it is paused.
    #[serde(rename = "Paused")]
    pub paused: Option<String>,
    /// Types of the triggers, for people.
    pub triggers_types: Option<String>,
    /// Kinds of authentication in use, for people.
    pub authentications_types: Option<String>,
    /// Metrics of the triggers.
    pub external_metric_names: Option<Vec<String>>,
    /// Which triggers have work.
    pub triggers_activity: Option<BTreeMap<String, TriggerActivity>>,
}
