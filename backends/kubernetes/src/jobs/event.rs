//! What happens to Jobs, for those who show it to people.

use std::time::Duration;

use zeron_core::FunctionId;

use crate::scale::WriteFailure;

/// Something happened to the Jobs of a function.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEvent {
    /// We created some.
    Created {
        /// Of which function.
        id: FunctionId,
        /// How many.
        count: u32,
    },
    /// One could not be created.
    CreateFailed {
        /// Of which function.
        id: FunctionId,
        /// How many are still wanted.
        wanted: u32,
        /// Why not.
        failure: WriteFailure,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Jobs of older generations were deleted.
    RolledOut {
        /// Of which function.
        id: FunctionId,
        /// How many.
        count: u32,
    },
    /// A Job could not be deleted; that is tried again.
    DeleteFailed {
        /// Of which function.
        id: FunctionId,
        /// Because it is of an older generation; else because enough are kept.
        is_rollout: bool,
        /// Why not.
        failure: WriteFailure,
    },
}
