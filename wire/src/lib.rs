//! What activator and autoscaler say to each other.
//!
//! In one process the messages go through bounded channels ([`link()`]).

pub mod link;
pub mod message;

pub use link::{ActivatorLink, AutoscalerLink, link};
pub use message::{Coverage, Drain, DrainId, Drained, ToActivator, ToAutoscaler, Wake};
