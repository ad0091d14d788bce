//! What a metric source says, and what it does not know.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A value with its time, or why there is none. **Unknown is never zero.**
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricValue {
    /// Measured.
    Known {
        /// The number, finite.
        value: f64,
        /// When it was measured.
        at: Timestamp,
    },
    /// Not measured.
    Unknown {
        /// Why not.
        reason: Unknown,
        /// Since when.
        since: Timestamp,
    },
}

/// Why a value is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// What kind of failure: a closed set, fit for a label.
    pub kind: UnknownKind,
    /// In words, with the address and without secrets.
    pub message: String,
}

/// Kinds of failure to read a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownKind {
    /// Not asked yet.
    NotRead,
    /// The source cannot be reached.
    Transport,
    /// The source refused the credentials.
    Authentication,
    /// The source did not answer in time.
    Timeout,
    /// The answer could not be understood, or is not a finite number.
    Parse,
    /// The thing that is measured does not exist.
    Missing,
    /// The trigger's parameters are wrong, or its type is not built in.
    Configuration,
}

/// One metric of one trigger, as its source measured it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricReading {
    /// The metric's own name, such as `kafka-orders`.
    pub metric: String,
    /// The number, finite and not negative.
    pub value: f64,
    /// What one replica should carry (or, for `Value`, the total to hold).
    pub target: f64,
    /// Whether the source has work.
    pub activity: Activity,
}

/// Whether a source has work: what wakes a function from zero and keeps it up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Activity {
    /// Active when `value > threshold`, strictly.
    Above {
        /// Often the reading's value; Kafka's persistent lag counts here alone.
        value: f64,
        /// The trigger's activation threshold.
        threshold: f64,
    },
    /// The source decides itself (external scalers, cron).
    Declared(bool),
}

impl Activity {
    /// Whether there is work.
    pub fn is_active(self) -> bool {
        match self {
            Self::Above { value, threshold } => value > threshold,
            Self::Declared(active) => active,
        }
    }
}
