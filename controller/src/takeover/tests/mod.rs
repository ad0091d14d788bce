//! Plans, checked without a cluster.
#![allow(clippy::unwrap_used)]

mod differences;
mod liveness;
mod order;
mod world;
