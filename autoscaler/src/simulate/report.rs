//! What a simulation found.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeron_core::decision::{Cause, Decision};

/// The outcome of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulationReport {
    /// Seconds simulated.
    pub duration_s: f64,
    /// The course of things at a fixed distance; of a stretch without change only its first point.
    pub points: Vec<Point>,
    /// Every change of the count.
    pub changes: Vec<Change>,
    /// Requests that arrived; 0 for a load that is given as a curve.
    pub requests: u64,
    /// Requests that arrived while no replica was ready; for a curve: rises from an empty function.
    pub cold_starts: u64,
    /// Replicas that were started.
    pub replica_starts: u64,
    /// Time integral of replicas that ran, ready or not.
    pub replica_seconds: f64,
    /// Most replicas at once.
    pub max_replicas: u32,
    /// Seconds without any replica.
    pub zero_seconds: f64,
    /// Time integral of requests at replicas and waiting.
    pub request_seconds: f64,
    /// How long requests waited for a replica.
    pub waits: Waits,
    /// Requests still waiting or being served at the end.
    pub unfinished: u64,
}

/// The state at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Seconds since the beginning.
    pub t_s: f64,
    /// Requests at replicas.
    pub in_flight: u32,
    /// Requests waiting.
    pub queued: u32,
    /// Replicas asked for.
    pub desired: u32,
    /// Replicas ready.
    pub ready: u32,
}

/// A change of the count, with its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Seconds since the beginning.
    pub t_s: f64,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
    /// What made it be decided then.
    pub cause: Cause,
    /// Which input won; `None` when a rule alone decided.
    pub winner: Option<String>,
}

impl Change {
    pub(super) fn new(t_s: f64, decision: &Decision) -> Self {
        let winner = decision.winner.and_then(|at| decision.asks.get(at));
        Self {
            t_s,
            from: decision.current,
            to: decision.desired,
            cause: decision.cause,
            winner: winner.map(|ask| ask.metric.clone()),
        }
    }
}

/// Waiting times in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// Mean.
    pub mean_s: f64,
    /// Median.
    pub p50_s: f64,
    /// 95 of 100 waited at most so long.
    pub p95_s: f64,
    /// 99 of 100 waited at most so long.
    pub p99_s: f64,
    /// Longest.
    pub max_s: f64,
}

impl Waits {
    pub(super) fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        let Some(longest) = waits.last() else {
            return Self::default();
        };
        let rank = |percent: usize| {
            let at = (waits.len() * percent).div_ceil(100).max(1) - 1;
            waits[at].as_secs_f64()
        };
        let total: Duration = waits.iter().sum();
        Self {
            mean_s: total.as_secs_f64() / waits.len() as f64,
            p50_s: rank(50),
            p95_s: rank(95),
            p99_s: rank(99),
            max_s: longest.as_secs_f64(),
        }
    }
}
