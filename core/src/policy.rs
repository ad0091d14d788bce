//! How many replicas a function should have: groups of triggers, each from one object, joined.

mod trigger;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ObjectRef;
use crate::job::JobScaling;
use crate::path::RequestPath;

pub use trigger::{
    RemoteParameters, Secret, TriggerSpec, VaultEngine, VaultParameters, VaultSecret, VaultSignIn,
};

/// Everything that [`decide`](crate::Decision) needs to know about a function.
///
/// The function's count is the largest ask of its groups; min is the largest explicit min, the
/// hard cap the smallest explicit max. Zero needs every group's own consent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalePolicy {
    /// One entry per object that scales this function. Empty: the count stays at `replicas`.
    pub groups: Vec<TriggerGroup>,
    /// The count to hold where no group scales (a Deployment's own `spec.replicas`).
    pub replicas: u32,
    /// Whether people stopped scaling, wholly or in one direction.
    pub pause: Pause,
    /// No route leads here any more: `min` does not hold, and it may go at once.
    pub is_reachable: bool,
    /// Who writes the count.
    pub writer: Writer,
    /// Set: Jobs are created for what its triggers measure; there are no replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobScaling>,
}

impl Default for ScalePolicy {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            replicas: 1,
            pause: Pause::default(),
            is_reachable: true,
            writer: Writer::Zeron,
            jobs: None,
        }
    }
}

/// Who writes the replica count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writer {
    /// The engine.
    Zeron,
    /// Somebody else: hold, count and push, never write.
    External,
}

/// Pauses that annotations declare (`autoscaling.keda.sh/paused*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Stay at the current count (`paused`).
    pub is_frozen: bool,
    /// Go to this count and stay (`paused-replicas`).
    pub at: Option<u32>,
    /// Never go down (`paused-scale-in`).
    pub scale_in: bool,
    /// Never go up (`paused-scale-out`).
    pub scale_out: bool,
}

/// The triggers of one object, with that object's own bounds and rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerGroup {
    /// The object, for reasons and `why`.
    pub source: ObjectRef,
    /// At least so many replicas.
    pub min: u32,
    /// At most so many; `None` = no limit of this object.
    pub max: Option<u32>,
    /// What is measured and how.
    pub scaling: Scaling,
}

/// The three ways to scale, each to the letter of its dialect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scaling {
    /// Knative's KPA.
    Knative(KnativeScaling),
    /// `http.keda.sh`: ceil(sum / target).
    Http(HttpScaling),
    /// `keda.sh`: metric sources.
    Metric(MetricScaling),
}

/// The KPA's settings after annotations and `config-autoscaler` were merged.
///
/// Source: knative/serving `DeciderSpec` and the PodAutoscaler's scale-to-zero settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnativeScaling {
    /// What is measured.
    pub metric: KnativeMetric,
    /// What one replica can take.
    pub total: f64,
    /// What one replica should get: `max(0.01, total * utilization)`.
    pub target: f64,
    /// -1 (always through the activator), 0 or more. Reported, without effect on one machine.
    pub target_burst_capacity: f64,
    /// Requests that one activator takes.
    pub activator_capacity: f64,
    /// Factor over capacity that starts panic mode.
    pub panic_threshold: f64,
    /// Window of the stable average.
    pub stable_window: Duration,
    /// Window of the panic average.
    pub panic_window: Duration,
    /// How buckets are averaged.
    pub aggregation: Aggregation,
    /// How long a higher wish is held; zero = none.
    pub scale_down_delay: Duration,
    /// Factor > 1 by which a decision may exceed the ready count.
    pub max_scale_up_rate: f64,
    /// Factor > 1 by which a decision may undercut the ready count.
    pub max_scale_down_rate: f64,
    /// Replicas of a new revision before any traffic.
    pub initial_scale: u32,
    /// Smallest count above zero; 0 = unset.
    pub activation_scale: u32,
    /// `enable-scale-to-zero`.
    pub is_scale_to_zero_enabled: bool,
    /// `scale-to-zero-grace-period`.
    pub scale_to_zero_grace: Duration,
    /// `scale-to-zero-pod-retention-period`.
    pub retention: Duration,
    /// How long the initial scale may take.
    pub progress_deadline: Duration,
    /// Where requests go, and who counts them.
    #[serde(default)]
    pub path: RequestPath,
}

/// What the KPA measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KnativeMetric {
    /// Mean requests in flight.
    Concurrency,
    /// Requests per second.
    Rps,
}

/// `autoscaling.knative.dev/metric-aggregation-algorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Plain mean.
    Linear,
    /// Newer seconds weigh more.
    WeightedExponential,
}

/// An HTTPScaledObject's or InterceptorRoute's scaling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpScaling {
    /// Requests in flight or waiting per replica.
    pub concurrency: Option<f64>,
    /// Requests per second per replica.
    pub request_rate: Option<RequestRate>,
    /// From the last activity to zero.
    pub cooldown: Duration,
    /// Used instead until the first activity, counted from creation.
    pub initial_cooldown: Duration,
    /// Rules for the way between the bounds.
    pub behavior: Behavior,
}

/// A rate averaged over its own window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRate {
    /// Requests per second per replica.
    pub target: f64,
    /// How far back.
    pub window: Duration,
    /// Width of one bucket.
    pub granularity: Duration,
}

/// A ScaledObject's scaling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricScaling {
    /// In the order of the manifest.
    pub triggers: Vec<Trigger>,
    /// How often each source is asked.
    pub polling_interval: Duration,
    /// From the last activity to zero (or idle).
    pub cooldown: Duration,
    /// Used instead until the first activity, counted from creation.
    pub initial_cooldown: Duration,
    /// Replicas while nothing is active; below `min`.
    pub idle: Option<u32>,
    /// What to ask for when a source fails.
    pub fallback: Option<Fallback>,
    /// Joins the triggers' values instead of the maximum.
    pub formula: Option<Formula>,
    /// Rules for the way between the bounds.
    pub behavior: Behavior,
    /// Counts as active although no trigger is (`force-activation`).
    pub is_forced_active: bool,
}

/// One trigger of a ScaledObject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Which source, and its parameters.
    pub source: TriggerSource,
    /// Variable name in formulas; unique in its object.
    pub name: Option<String>,
    /// What the target means.
    pub metric_type: MetricType,
}

/// What a trigger measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TriggerSource {
    /// Our own HTTP counters: an `external-push` trigger that names an InterceptorRoute or an
    /// HTTPScaledObject.
    Http(HttpTargets),
    /// A source of the `scalers` crate.
    Scaler(TriggerSpec),
}

/// HTTP targets of a trigger that means our own counters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpTargets {
    /// Requests in flight or waiting per replica.
    pub concurrency: Option<f64>,
    /// Requests per second per replica.
    pub request_rate: Option<RequestRate>,
}

/// What a metric target means (`autoscaling/v2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricType {
    /// ceil(sum / target).
    AverageValue,
    /// ceil(ready * value / target).
    Value,
    /// Percent of a request; cpu and memory only.
    Utilization,
}

/// What a ScaledObject asks for while a source fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// More failures in a row than this.
    pub failure_threshold: u32,
    /// So many replicas.
    pub replicas: u32,
    /// How `replicas` and the current count combine.
    pub behavior: FallbackBehavior,
}

/// `fallback.behavior`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FallbackBehavior {
    /// `replicas`.
    Static,
    /// The count at that time.
    CurrentReplicas,
    /// The larger of both.
    CurrentReplicasIfHigher,
    /// The smaller of both.
    CurrentReplicasIfLower,
    /// Failed triggers are `nil` in the formula.
    ScalingModifiers,
}

/// `advanced.scalingModifiers`: an expr-lang formula over named triggers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Formula {
    /// The expression; it compiled when the manifest was read.
    pub expression: String,
    /// What one replica should carry of the result.
    pub target: f64,
    /// Active when the result is above this, strictly.
    pub activation_target: f64,
    /// What the target means; not `Utilization`.
    pub metric_type: MetricType,
}

impl Formula {
    /// Whether it has the trigger called `name` as a variable.
    pub fn uses(&self, name: &str) -> bool {
        crate::formula::uses(&self.expression, name)
    }
}

/// Scaling rules of `autoscaling/v2`, with our defaults: out at once and without limit, in after
/// 300 s of stabilization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Behavior {
    /// Rules for going up.
    pub scale_up: ScalingRules,
    /// Rules for going down.
    pub scale_down: ScalingRules,
}

/// One direction's rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalingRules {
    /// How long a wish of the other direction counts.
    pub stabilization: Duration,
    /// How much may change in how long; empty = unlimited.
    pub policies: Vec<ScalingLimit>,
    /// Which of `policies` counts.
    pub select: SelectPolicy,
    /// Ratio off 1 that is ignored.
    pub tolerance: f64,
}

/// `maxChange` over `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingLimit {
    /// Replicas, or percent of the count at the start of the period.
    pub change: MaxChange,
    /// Length of the period.
    pub period: Duration,
}

/// How a [`ScalingLimit`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MaxChange {
    /// Replicas (`Pods`).
    Replicas(u32),
    /// Percent (`Percent`).
    Percent(u32),
}

/// `selectPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectPolicy {
    /// The policy that allows most.
    Max,
    /// The policy that allows least.
    Min,
    /// No change in this direction.
    Disabled,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            scale_up: ScalingRules::unlimited(Duration::ZERO),
            scale_down: ScalingRules::unlimited(Duration::from_secs(300)),
        }
    }
}

impl ScalingRules {
    /// No policies, no tolerance, this stabilization.
    pub fn unlimited(stabilization: Duration) -> Self {
        Self {
            stabilization,
            policies: Vec::new(),
            select: SelectPolicy::Max,
            tolerance: 0.0,
        }
    }
}
