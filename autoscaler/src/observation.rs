//! What is so at the moment of a decision.

use std::num::NonZeroU32;

use zeron_core::decision::Cause;
use zeron_core::metric::{MetricValue, Unknown, UnknownKind};
use zeron_core::{FunctionId, Timestamp};

/// What is so at the moment of a decision; what was so before lies in
/// [`DecisionState`](crate::state::DecisionState).
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Whose replicas.
    pub function: FunctionId,
    /// Why a decision is made now.
    pub cause: Cause,
    /// Replicas asked for, without those that are being drained.
    pub current: u32,
    /// Replicas that may be given requests.
    pub ready: u32,
    /// Requests at replicas and waiting.
    pub load: Load,
    /// Requests that one replica may serve at once; `None` = unlimited.
    pub concurrency_limit: Option<NonZeroU32>,
    /// What the platform can run of one function at most; `None` = no limit.
    pub cap: Option<u32>,
}

/// Requests of a function now, as far as they are known.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Counted. Connected and silent is a known zero.
    Known {
        /// At replicas.
        in_flight: u32,
        /// Waiting.
        queued: u32,
    },
    /// Counted by some of those who may have requests: there are at least so many.
    Partial {
        /// At replicas.
        in_flight: u32,
        /// Waiting.
        queued: u32,
        /// Who does not count.
        reason: Unknown,
        /// Since when.
        since: Timestamp,
    },
    /// Nobody counts requests one by one: samples of them are in the windows of whoever scales by
    /// them, and its own rules say when nothing is left.
    Sampled,
    /// Nobody counts: the link to the activator is lost.
    Unknown {
        /// Why.
        reason: Unknown,
        /// Since when.
        since: Timestamp,
    },
}

impl Load {
    /// No requests.
    pub const NONE: Self = Self::Known {
        in_flight: 0,
        queued: 0,
    };

    /// Requests at replicas and waiting; `None` while unknown.
    pub fn total(&self) -> Option<u32> {
        match self {
            Self::Known { in_flight, queued } => Some(in_flight.saturating_add(*queued)),
            Self::Partial { .. } | Self::Sampled | Self::Unknown { .. } => None,
        }
    }

    /// Requests at replicas, and waiting, as far as anybody counts: enough to go up by.
    pub fn counted(&self) -> Option<(u32, u32)> {
        match self {
            Self::Known { in_flight, queued }
            | Self::Partial {
                in_flight, queued, ..
            } => Some((*in_flight, *queued)),
            Self::Sampled | Self::Unknown { .. } => None,
        }
    }

    /// Whether all of it is accounted for: without that, nothing goes down.
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Known { .. } | Self::Sampled)
    }

    /// What is counted, as a metric measured at `now`.
    pub fn value(&self, now: Timestamp) -> MetricValue {
        match self {
            Self::Known { in_flight, queued }
            | Self::Partial {
                in_flight, queued, ..
            } => MetricValue::Known {
                value: f64::from(*in_flight) + f64::from(*queued),
                at: now,
            },
            Self::Sampled => MetricValue::Unknown {
                reason: Unknown {
                    kind: UnknownKind::NotRead,
                    message: "requests are not counted one by one".to_owned(),
                },
                since: now,
            },
            Self::Unknown { reason, since } => MetricValue::Unknown {
                reason: reason.clone(),
                since: *since,
            },
        }
    }
}
