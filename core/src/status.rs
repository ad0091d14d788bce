//! What people look at: `zeron ls`, `describe` and the admin API.

use serde::{Deserialize, Serialize};

use crate::decision::Rule;
use crate::endpoint::StartFailure;
use crate::id::{FunctionId, ObjectRef};
use crate::metric::MetricValue;
use crate::path::PathAsk;
use crate::time::Timestamp;

/// One function now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    /// Which.
    pub id: FunctionId,
    /// What a person calls it.
    pub owner: ObjectRef,
    /// In one word.
    pub phase: Phase,
    /// In one line: what it waits for, or what is wrong.
    pub message: Option<String>,
    /// Replicas asked for.
    pub desired: u32,
    /// Replicas that may be given requests.
    pub ready: u32,
    /// Replicas that run but are not ready, or wait to be started.
    pub starting: u32,
    /// The joined maximum, if there is one.
    pub max: Option<u32>,
    /// Requests at a replica.
    pub in_flight: u32,
    /// Requests waiting.
    pub queued: u32,
    /// Metric triggers, in the order of their manifests.
    pub triggers: Vec<TriggerStatus>,
    /// Why the newest start failed.
    pub failure: Option<StartFailure>,
    /// When it was declared to this engine.
    pub since: Timestamp,
    /// When anything last kept it above zero.
    pub last_active: Option<Timestamp>,
    /// The count at which its owner paused it, the current one or a given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<u32>,
    /// Rules of the newest decision that keep the count from what its inputs ask for: a cooldown
    /// that lasts, an unknown source, a pause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Rule>,
    /// What is asked of a request path that is switched; `None`: it is not, or nothing has been
    /// seen of it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathAsk>,
}

/// What a function is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// At zero.
    Cold,
    /// Replicas were asked for and none is ready.
    Starting,
    /// At least one replica is ready.
    Active,
    /// Replicas are being taken away.
    Draining,
    /// It works less well than it should: a source is unknown, or a start failed.
    Degraded,
    /// Paused by its owner.
    Paused,
}

/// One metric trigger now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerStatus {
    /// The object that has it.
    pub source: ObjectRef,
    /// Its place among the triggers of the object.
    #[serde(default)]
    pub index: usize,
    /// Its type, such as `kafka`.
    pub kind: String,
    /// The metric's name, such as `kafka-orders`.
    pub metric: String,
    /// Its newest value, or why there is none.
    pub value: MetricValue,
    /// What one replica should carry.
    pub target: f64,
    /// Whether it has work.
    pub is_active: bool,
    /// How reading it goes.
    #[serde(default)]
    pub health: TriggerHealth,
    /// Why its source does not push though it was asked to: it is polled alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_trouble: Option<String>,
}

/// How reading a trigger goes: what KEDA calls `Happy` and `Failing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerHealth {
    /// Readings that failed in a row, one per poll; zero: happy.
    pub failures: u32,
    /// All readings that failed.
    #[serde(default)]
    pub errors: u64,
    /// When the first of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// A fallback stands in for its value.
    #[serde(default)]
    pub is_fallback: bool,
}
