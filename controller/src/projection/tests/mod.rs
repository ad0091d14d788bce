//! What objects mean together.
#![allow(clippy::unwrap_used)]

mod annotations;
mod conflicts;
mod faults;
mod routes;
mod scaling;
mod size;
mod world;
