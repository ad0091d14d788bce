//! Work that is done by Jobs, which are created for it and end by themselves, instead of replicas.

use serde::{Deserialize, Serialize};

/// How what triggers measure becomes Jobs (KEDA's `scalingStrategy`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobScaling {
    /// The arithmetic from wanted, unfinished and pending Jobs to those that are created.
    pub strategy: JobStrategy,
    /// How several triggers are joined.
    pub calculation: JobCalculation,
}

/// `scalingStrategy.strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobStrategy {
    /// Sources go on counting what is being worked on: wanted less unfinished.
    #[default]
    Default,
    /// `default` with two settings of its own; its maximum bounds what one evaluation creates.
    Custom {
        /// Taken off what is wanted (`customScalingQueueLengthDeduction`).
        deduction: u32,
        /// The share of the unfinished that is taken off (`customScalingRunningJobPercentage`);
        /// finite.
        running_share: f64,
    },
    /// Sources stop counting what is being worked on: wanted less pending.
    Accurate,
    /// As many as the maximum allows, for what is waiting.
    Eager,
}

/// `scalingStrategy.multipleScalersCalculation`, over the triggers that have work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobCalculation {
    /// The trigger that wants most.
    #[default]
    Max,
    /// The trigger that wants least.
    Min,
    /// The mean.
    Avg,
    /// The sum.
    Sum,
}

/// The Jobs of one function now, those included whose creation is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCounts {
    /// Not finished.
    pub running: u32,
    /// Of those: not yet at work.
    pub pending: u32,
    /// Creations that were ever begun, by the platform that counts. Orders are given as the number
    /// that this is to reach: one that is given on older counts creates nothing twice.
    pub begun: u64,
}
