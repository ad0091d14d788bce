//! Events on declared objects, with KEDA's reasons: said once, counted when repeated, bounded.
//!
//! What is worth an event is decided by pure functions ([`of_status`], [`of_decision`]); the
//! [`EventWriter`] sends them to `events.k8s.io`, so many per object and no more.

mod limit;
mod reason;
mod transition;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::projection::ObjectKey;

pub use reason::Reason;
pub use transition::{of_decision, of_status};
pub use writer::{EventWriter, EventWriterOptions};

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The object.
    pub object: ObjectKey,
    /// Its UID: an event of an object that was deleted is not shown on its successor.
    pub uid: Arc<str>,
    /// What happened, in one word.
    pub reason: Reason,
    /// What happened, in a sentence.
    pub message: String,
}
