//! Faults on a real cluster: what is lost when parts of it go away, and what callers and operators are told.
#![allow(clippy::unwrap_used)]

#[path = "kubernetes_faults/api.rs"]
mod api;
#[path = "kubernetes_faults/declare.rs"]
mod declare;
#[path = "kubernetes_faults/invalid.rs"]
mod invalid;
#[path = "kubernetes_faults/leader.rs"]
mod leader;
#[path = "kubernetes_faults/others.rs"]
mod others;
#[path = "kubernetes_faults/outages.rs"]
mod outages;
#[path = "kubernetes_faults/partition.rs"]
mod partition;
#[path = "kubernetes_faults/restarts.rs"]
mod restarts;
#[path = "kubernetes_faults/scale_in.rs"]
mod scale_in;
#[path = "kubernetes_faults/start.rs"]
mod start;
#[path = "kubernetes_faults/streams.rs"]
mod streams;
#[path = "kubernetes_faults/upgrade.rs"]
mod upgrade;
#[path = "kubernetes_faults/watches.rs"]
mod watches;
#[path = "kubernetes_faults/way.rs"]
mod way;
