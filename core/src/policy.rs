//! How many replicas a function should have: groups of triggers, each from one object, joined.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::id::ObjectRef;
use crate::job::JobScaling;
use crate::path::RequestPath;

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

/// A source's type and parameters, as strings, the way KEDA has them.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct TriggerSpec {
    /// The object that has the trigger.
    pub object: ObjectRef,
    /// Position in `triggers`.
    pub index: usize,
    /// KEDA's name of the type, such as `kafka`.
    pub kind: String,
    /// `metadata`, `*FromEnv` already resolved under the bare name.
    pub metadata: BTreeMap<String, String>,
    /// Names in `metadata` whose values came from the environment of the function: that of a
    /// container is filled from Secrets, so these values are never shown.
    #[serde(default)]
    pub from_environment: BTreeSet<String>,
    /// What a TriggerAuthentication gave: secrets, never shown.
    #[serde(default)]
    pub auth: BTreeMap<String, Secret>,
    /// Where further secrets are read when the trigger is: their owner rotates them.
    #[serde(default)]
    pub remote: Vec<RemoteParameters>,
    /// A formula stands beside it, which has the target: it needs none of its own.
    #[serde(default)]
    pub is_formula_input: bool,
}

/// Parameters that are kept elsewhere, and read again and again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RemoteParameters {
    /// HashiCorp Vault, or what speaks its HTTP API.
    Vault(VaultParameters),
    /// A JSON object of texts in a file below the folder that the administrator chose.
    File {
        /// Relative, without `..`.
        path: String,
    },
}

/// Parameters kept in a Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultParameters {
    /// Its URL.
    pub address: String,
    /// Its namespace (`X-Vault-Namespace`).
    pub namespace: Option<String>,
    /// How to sign in.
    pub sign_in: VaultSignIn,
    /// What to read, at least one.
    pub secrets: Vec<VaultSecret>,
}

/// How to sign in to a Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VaultSignIn {
    /// With a token.
    Token(#[serde(skip)] Secret),
    /// With the token of our own ServiceAccount.
    Kubernetes {
        /// Where the method is mounted.
        mount: String,
        /// The role there.
        role: String,
    },
}

/// One parameter in a Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultSecret {
    /// The parameter that it becomes.
    pub parameter: String,
    /// The path below `/v1/`.
    pub path: String,
    /// The key in what is found there.
    pub key: String,
    /// How it is found there.
    pub engine: VaultEngine,
}

/// The secrets engine behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VaultEngine {
    /// The second version where the answer looks like it, else the first.
    Generic,
    /// Key and value, first version.
    First,
    /// Key and value, second version: `data` within `data`.
    Second,
}

impl TriggerSpec {
    /// The metadata that may be shown.
    fn shown(&self) -> BTreeMap<&str, &str> {
        let entries = self.metadata.iter();
        let shown = entries.filter(|(name, _)| !self.from_environment.contains(*name));
        shown.map(|(k, v)| (k.as_str(), v.as_str())).collect()
    }
}

impl fmt::Debug for TriggerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerSpec")
            .field("object", &self.object)
            .field("index", &self.index)
            .field("kind", &self.kind)
            .field("metadata", &self.shown())
            .field("from_environment", &self.from_environment)
            .field("auth", &self.auth.keys())
            .field("remote", &self.remote)
            .field("is_formula_input", &self.is_formula_input)
            .finish()
    }
}

/// Without secrets: what is read back has fewer parameters.
impl Serialize for TriggerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("TriggerSpec", 6)?;
        fields.serialize_field("object", &self.object)?;
        fields.serialize_field("index", &self.index)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("metadata", &self.shown())?;
        fields.serialize_field("from_environment", &self.from_environment)?;
        fields.serialize_field("is_formula_input", &self.is_formula_input)?;
        fields.end()
    }
}

/// A secret string: compared, handed to a client, never printed or serialized.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the client that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
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
