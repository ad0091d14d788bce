//! Who writes replica counts: the back end of the engine, and the activator's own wake-up.

mod backend;
mod event;
mod flight;
mod patch;
mod queue;
mod victims;
mod waker;
mod wish;
mod writer;

pub use backend::{KubernetesBackend, ScaleConfig};
pub use event::{ScaleEvent, WriteFailure};
pub use waker::{WakeError, WakeOutcome, Waker};

#[cfg(test)]
pub(crate) mod testing;
