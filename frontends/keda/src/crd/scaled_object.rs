//! `keda.sh/v1alpha1` ScaledObject.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::{Condition, Health, ScaleTargetKind, TriggerActivity};
use super::trigger::Trigger;

/// What is scaled, by which triggers, between which bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "minReplicaCount must be less than or equal to maxReplicaCount",
    "rule": "!has(self.minReplicaCount) || self.minReplicaCount <= (has(self.maxReplicaCount) ? self.maxReplicaCount : 100)",
}]))]
pub struct ScaledObjectSpec {
    /// The object whose replicas are counted.
    pub scale_target_ref: ScaleTargetRef,
    /// Seconds between two questions to a source; 30 when none are given.
    #[schemars(range(min = 1))]
    pub polling_interval: Option<i32>,
    /// Seconds of idleness before a ScaledObject that never was active goes to zero.
    #[schemars(range(min = 0))]
    pub initial_cooldown_period: Option<i32>,
    /// Seconds of idleness before the last step to zero; 300 when none are given.
    #[schemars(range(min = 0))]
    pub cooldown_period: Option<i32>,
    /// Replicas while nothing is to be done; must be below minReplicaCount.
    #[schemars(range(min = 0))]
    pub idle_replica_count: Option<i32>,
    /// Fewest replicas; 0 when none are given.
    #[schemars(range(min = 0))]
    pub min_replica_count: Option<i32>,
    /// Most replicas; 100 when none are given.
    #[schemars(range(min = 1))]
    pub max_replica_count: Option<i32>,
    /// Behaviour, formula, and what happens on deletion.
    pub advanced: Option<Advanced>,
    /// The event sources.
    #[schemars(length(min = 1))]
    pub triggers: Vec<Trigger>,
    /// What holds while a source gives no value.
    pub fallback: Option<Fallback>,
}

/// Names an object with a scale subresource, in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// The object's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its group and version; apps/v1 when none are given.
    pub api_version: Option<String>,
    /// Its kind; Deployment when none is given.
    pub kind: Option<String>,
    /// The container whose environment triggers may read; the first when none is given.
    pub env_source_container_name: Option<String>,
}

/// What holds while a source gives no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Failures in a row that are borne before.
    #[schemars(range(min = 0))]
    pub failure_threshold: i32,
    /// Replicas to hold.
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// How replicas and the current count are joined.
    #[serde(default)]
    pub behavior: FallbackBehavior,
}

/// How the fallback's replicas and the current count are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum FallbackBehavior {
    #[default]
    Static,
    CurrentReplicas,
    CurrentReplicasIfHigher,
    CurrentReplicasIfLower,
    ScalingModifiers,
}

/// Behaviour, formula, and what happens on deletion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// How fast the count may change.
    pub horizontal_pod_autoscaler_config: Option<HorizontalPodAutoscalerConfig>,
    /// Whether the target gets back the replicas that it had before, when this is deleted.
    pub restore_to_original_replica_count: Option<bool>,
    /// One metric made of several.
    pub scaling_modifiers: Option<ScalingModifiers>,
}

/// One metric made of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingModifiers {
    /// An expression over the triggers' names.
    pub formula: Option<String>,
    /// What one replica should carry of it: a number in quotes.
    pub target: Option<String>,
    /// Above which value it is work: a number in quotes.
    pub activation_target: Option<String>,
    /// Whether target is per replica or a total.
    pub metric_type: Option<FormulaMetricType>,
}

/// Whether a formula's target is per replica or a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum FormulaMetricType {
    AverageValue,
    Value,
}

/// What KEDA hands to its HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HorizontalPodAutoscalerConfig {
    /// How fast the count may change, out and in.
    pub behavior: Option<Behavior>,
    /// A name for KEDA's HorizontalPodAutoscaler, which does not exist here.
    pub name: Option<String>,
}

/// How fast the count may change, out and in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Rules for scaling out; at once when none are given.
    pub scale_up: Option<ScalingRules>,
    /// Rules for scaling in; after 300 s when none are given.
    pub scale_down: Option<ScalingRules>,
}

/// Rules of one direction, as autoscaling/v2 has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Seconds over which past recommendations count, up to 3600.
    pub stabilization_window_seconds: Option<i32>,
    /// Which of the policies counts: Max, Min or Disabled.
    pub select_policy: Option<String>,
    /// Limits of change per time.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub policies: Option<Vec<ScalingPolicy>>,
    /// How far the metric may be off without a change, such as 0.05.
    #[schemars(with = "Option<Quantity>")]
    pub tolerance: Option<serde_json::Value>,
}

/// A limit of change per time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Pods or Percent.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many, above 0.
    pub value: i32,
    /// Per so many seconds, up to 1800.
    pub period_seconds: i32,
}

/// A Kubernetes quantity: a number, or a text with a unit.
#[derive(JsonSchema)]
#[schemars(extend(
    "anyOf" = [{"type": "integer"}, {"type": "string"}],
    "pattern" = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
    "x-kubernetes-int-or-string" = true
))]
struct Quantity(#[allow(dead_code, reason = "stands for its schema alone")] String);

/// What was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObjectStatus {
    /// Group, version and kind of the target, as `apps/v1.Deployment`.
    pub scale_target_kind: Option<String>,
    /// The same in its parts.
    #[serde(rename = "scaleTargetGVKR")]
    pub scale_target_gvkr: Option<ScaleTargetKind>,
    /// Replicas that the target had when it was adopted.
    pub original_replica_count: Option<i32>,
    /// When a trigger last had work.
    #[schemars(extend("format" = "date-time"))]
    pub last_active_time: Option<String>,
    /// Metrics of the triggers that are not cpu or memory.
    pub external_metric_names: Option<Vec<String>>,
    /// Metrics of cpu and memory triggers.
    pub resource_metric_names: Option<Vec<String>>,
    /// The metric of the formula.
    pub composite_scaler_name: Option<String>,
    /// Ready, Active, Fallback, Paused, and what else is to be said.
    pub conditions: Option<Vec<Condition>>,
    /// How each metric's source has answered lately.
    pub health: Option<BTreeMap<String, Health>>,
    /// The count that a pause holds.
    pub paused_replica_count: Option<i32>,
    /// KEDA's HorizontalPodAutoscaler; empty here.
    pub hpa_name: Option<String>,
    /// Types of the triggers, for people.
    pub triggers_types: Option<String>,
    /// Kinds of authentication in use, for people.
    pub authentications_types: Option<String>,
    /// Which triggers have work.
    pub triggers_activity: Option<BTreeMap<String, TriggerActivity>>,
}
