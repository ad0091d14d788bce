//! KEDA's rules, one by one; certificates; the server.
#![allow(clippy::unwrap_used)]

mod admission;
mod identity;
mod serving;
