//! What happens to replica counts, for those who show it to people.

use std::time::Duration;

use zeron_core::{Chain, FunctionId};

use crate::api::CallError;

/// Something happened to the count of a function.
#[derive(Clone, Debug, PartialEq)]
pub enum ScaleEvent {
    /// We wrote it.
    Written {
        /// Which function.
        id: FunctionId,
        /// The count before.
        from: u32,
        /// The count now.
        to: u32,
        /// From the wish to the answer.
        took: Duration,
    },
    /// We could not write it and try again.
    Failed {
        /// Which function.
        id: FunctionId,
        /// The count that is asked for.
        wanted: u32,
        /// Why not.
        failure: WriteFailure,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Somebody else wrote it: another autoscaler, a person, a pipeline.
    ForeignChange {
        /// Which function.
        id: FunctionId,
        /// The count that was known.
        from: u32,
        /// The count now.
        to: u32,
    },
    /// Pods could not be marked to go first: the platform chooses by itself.
    Unmarked {
        /// Which function.
        id: FunctionId,
        /// Why not.
        failure: WriteFailure,
    },
}

/// Why a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFailure {
    /// The HTTP status; `None`: no answer.
    pub status: Option<u16>,
    /// The API server's own reason, such as `Forbidden`, or `Unreachable`, `Timeout`.
    pub reason: String,
    /// In words.
    pub message: String,
}

impl From<&CallError> for WriteFailure {
    fn from(error: &CallError) -> Self {
        let (reason, message) = match error {
            CallError::Refused {
                reason, message, ..
            } => (reason.clone(), message.clone()),
            CallError::Unreachable(_) => ("Unreachable".to_owned(), Chain(error).to_string()),
            CallError::Timeout(_) => ("Timeout".to_owned(), error.to_string()),
            CallError::Answer(_) => ("BadAnswer".to_owned(), Chain(error).to_string()),
        };
        Self {
            status: error.status(),
            reason,
            message,
        }
    }
}
