//! Event sources: each turns a trigger into a metric value.
//!
//! `registry` picks the source of a trigger's type (`known` lists all names of KEDA), which reads
//! the trigger's `parameters` and hands out a client (`source`) shared by all triggers of the same
//! server and credentials. One folder per source; a new source is one folder and one line in
//! [`Registry::builtin`].

#[cfg(feature = "kafka")]
mod kafka;
mod known;
pub mod parameters;
mod registry;
pub mod source;

pub use registry::{Registry, SourceType, TriggerType, configuration};
