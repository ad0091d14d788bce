//! `zeron ls`, `why`, `timeline`, `describe` and `logs` of a cluster: two autoscalers as pods, reached with a kubeconfig.
#![allow(clippy::unwrap_used)]

#[path = "kubernetes_inspect/functions.rs"]
mod functions;
#[path = "kubernetes_inspect/jobs.rs"]
mod jobs;
#[path = "kubernetes_inspect/logs.rs"]
mod logs;
#[path = "kubernetes_inspect/rights.rs"]
mod rights;
#[path = "kubernetes_inspect/site.rs"]
mod site;
#[allow(dead_code, reason = "shared with the tests of ScaledJobs")]
#[path = "kubernetes_jobs/work.rs"]
mod work;
