//! ScaledJobs on a real cluster: Jobs for pods that another trigger counts, from the first to the
//! last rule of their life.
#![allow(clippy::unwrap_used)]

#[path = "kubernetes_jobs/creating.rs"]
mod creating;
#[path = "kubernetes_jobs/ending.rs"]
mod ending;
#[path = "kubernetes_jobs/faults.rs"]
mod faults;
#[path = "kubernetes_jobs/work.rs"]
mod work;
