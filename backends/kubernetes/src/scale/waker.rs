//! The activator's own wake-up, for when no autoscaler answers.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use thiserror::Error;
use tracing::info;

use super::patch::{Scale, is_conflict, replace, write_path};
use crate::api::{CallError, Caller, Content, JSON_PATCH};
use crate::counters::{Counters, Direction, DirectionLabel, Verb};
use crate::target::ScaleTarget;

/// Wakes functions from zero by one guarded write: it can never lower a count, and does nothing
/// unless the count is zero. Needs `patch` on the target's `scale`, and nothing else.
#[derive(Clone, Debug)]
pub struct Waker {
    caller: Caller,
}

/// What a wake-up led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeOutcome {
    /// The count was zero and is this now.
    Woken(u32),
    /// The count was not zero, or the object is another one: somebody else was there before.
    NotAtZero,
}

/// A wake-up that could not be written.
#[derive(Debug, Error)]
pub enum WakeError {
    /// The object is being deleted.
    #[error("{0} is being deleted")]
    Deleting(zeron_core::FunctionId),
    /// Zero replicas wake nothing.
    #[error("{0} cannot be woken to zero replicas")]
    Zero(zeron_core::FunctionId),
    /// The API server refused it or cannot be reached.
    #[error("cannot wake {id}")]
    Call {
        /// Which function.
        id: zeron_core::FunctionId,
        /// The cause.
        #[source]
        source: CallError,
    },
}

impl Waker {
    /// Writes through `client`, each write with its answer within `timeout`.
    pub fn new(client: Client, timeout: Duration, counters: Arc<Counters>) -> Self {
        Self {
            caller: Caller::new(client, counters, timeout),
        }
    }

    /// Sets the count to `count` if it is zero.
    ///
    /// # Errors
    /// [`WakeError`]; a count that is not zero is none.
    pub async fn wake(&self, target: &ScaleTarget, count: u32) -> Result<WakeOutcome, WakeError> {
        let id = &target.id;
        if target.is_deleting {
            return Err(WakeError::Deleting(id.clone()));
        }
        if count == 0 {
            return Err(WakeError::Zero(id.clone()));
        }
        let content = Content::new(JSON_PATCH, &replace(target, 0, count, None));
        let answer: Result<Scale, _> = self
            .caller
            .call(Verb::patch, &write_path(target), Some(content))
            .await;
        match answer {
            Ok(_) => {
                let direction = Direction::from_zero;
                let writes = &self.caller.counters.scale_writes;
                writes.get_or_create(&DirectionLabel { direction }).inc();
                info!(function = %id, to = count, "woken without an autoscaler");
                Ok(WakeOutcome::Woken(count))
            }
            Err(error) if is_conflict(&error) => Ok(WakeOutcome::NotAtZero),
            Err(source) => Err(WakeError::Call {
                id: id.clone(),
                source,
            }),
        }
    }
}
