//! What objects mean together.
// Objects are handed on as `json!` makes them.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod annotations;
mod conflicts;
mod faults;
mod jobs;
mod routes;
mod scaling;
mod size;
mod told;
mod ways;
mod world;
