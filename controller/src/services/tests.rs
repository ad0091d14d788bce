#![allow(clippy::unwrap_used)]

pub(crate) mod cluster;
mod ledger;
mod way;
