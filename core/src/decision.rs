//! What was decided for a function, and why.

use serde::{Deserialize, Serialize};

use crate::id::{FunctionId, ObjectRef};
use crate::metric::MetricValue;
use crate::time::Timestamp;

/// One decision with everything that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Whose replicas.
    pub function: FunctionId,
    /// When.
    pub at: Timestamp,
    /// What caused it to be made now.
    pub cause: Cause,
    /// Replicas asked for before.
    pub current: u32,
    /// Replicas that were ready.
    pub ready: u32,
    /// Replicas asked for now.
    pub desired: u32,
    /// Every input and what it would ask for.
    pub asks: Vec<Ask>,
    /// Which of `asks` won; `None` when a rule alone decided.
    pub winner: Option<usize>,
    /// Rules that changed the number, in the order in which they applied.
    pub rules: Vec<Rule>,
}

/// What caused a decision to be made at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// The function was declared or changed.
    Applied,
    /// A request found no replica.
    FirstWaiter,
    /// More requests than the ready replicas may take.
    Backlog,
    /// The KPA's two-second grid, or its poke.
    Grid,
    /// A metric source was read.
    Poll,
    /// A metric source pushed.
    Push,
    /// Replicas changed.
    Endpoints,
    /// A cooldown, delay or window ran out.
    Timer,
}

/// One input and the count it asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// The object that has this trigger.
    pub source: ObjectRef,
    /// What was measured, such as `concurrency`, `backlog` or `kafka-orders`.
    pub metric: String,
    /// What was measured, or why it is unknown.
    pub value: MetricValue,
    /// What one replica should carry.
    pub target: f64,
    /// The count asked for; `None` while unknown.
    pub replicas: Option<u32>,
    /// Whether this input keeps the function above zero.
    pub is_active: bool,
}

/// A rule that changed the number or kept it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "camelCase")]
pub enum Rule {
    /// Raised to the joined minimum.
    Min { min: u32, from: u32 },
    /// Clipped by the joined maximum.
    Max { max: u32, from: u32 },
    /// `min` of one object lies above `max` of another: `max` holds.
    Conflict { min: u32, max: u32 },
    /// Raised to `initial-scale` until it was reached once.
    InitialScale { initial: u32 },
    /// Raised to `activation-scale`.
    ActivationScale { scale: u32 },
    /// Panic mode: not below the highest count since it began.
    Panic { since: Timestamp, count: u32 },
    /// Clipped by `max-scale-up-rate`.
    ScaleUpRate { limit: u32 },
    /// Clipped by `max-scale-down-rate`.
    ScaleDownRate { limit: u32 },
    /// Held by `scale-down-delay`.
    ScaleDownDelay { count: u32 },
    /// Held by a stabilization window.
    Stabilization { count: u32, until: Timestamp },
    /// Clipped by a `behavior` policy.
    Behavior { limit: u32 },
    /// Within tolerance: no change.
    Tolerance,
    /// Idle: `idleReplicaCount`.
    Idle { replicas: u32 },
    /// Not to zero before this (cooldown, grace, retention, or a new owner's warm-up).
    ZeroNotBefore { wait: ZeroWait, until: Timestamp },
    /// Not to zero: `enable-scale-to-zero` is off.
    ScaleToZeroDisabled,
    /// Not to zero or down: requests are at a replica or waiting.
    Busy { in_flight: u32, queued: u32 },
    /// Not down: this input is unknown.
    Unknown { metric: String },
    /// A fallback replaced an unknown input.
    Fallback { metric: String, replicas: u32 },
    /// A formula joined the triggers.
    Formula { result: f64 },
    /// The formula could not be evaluated.
    FormulaFailed { message: String },
    /// Paused at the current or the given count.
    Paused { at: u32 },
    /// Going down is paused.
    ScaleInPaused,
    /// Going up is paused.
    ScaleOutPaused,
    /// No route leads here: `min` does not hold.
    Unreachable,
    /// Somebody else writes the count.
    ExternalWriter,
    /// No trigger: the declared count.
    Fixed { replicas: u32 },
    /// Jobs: so many are wanted, so many unfinished and not yet at work are counted against them,
    /// so many are created.
    Jobs {
        wanted: u32,
        unfinished: u32,
        pending: u32,
        created: u32,
    },
    /// Jobs: an unknown input asks for none.
    UnknownJobs { metric: String },
}

/// Which period keeps a function above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ZeroWait {
    /// `cooldownPeriod` or `scaledownPeriod`.
    Cooldown,
    /// `initialCooldownPeriod`.
    InitialCooldown,
    /// The stable window must pass without traffic.
    StableWindow,
    /// `scale-to-zero-grace-period`.
    Grace,
    /// `scale-to-zero-pod-retention-period`.
    Retention,
    /// A new owner waits for one full cooldown of its own evidence.
    NewOwner,
    /// Activation: the initial scale has not been reached yet.
    Activating,
}
