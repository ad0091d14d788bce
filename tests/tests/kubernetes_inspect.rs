//! `zeron ls`, `why`, `timeline`, `describe` and `logs` of a cluster: two autoscalers as pods, reached with a kubeconfig.
#![allow(clippy::unwrap_used)]

#[path = "kubernetes_inspect/functions.rs"]
mod functions;
#[path = "kubernetes_inspect/logs.rs"]
mod logs;
#[path = "kubernetes_inspect/rights.rs"]
mod rights;
#[path = "kubernetes_inspect/site.rs"]
mod site;
