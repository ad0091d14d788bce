//! What is installed in a cluster: the chart, the kustomizations, and what its accounts may do.
#![allow(clippy::unwrap_used)]

#[path = "kubernetes_deploy/alerts.rs"]
mod alerts;
#[path = "kubernetes_deploy/chart.rs"]
mod chart;
#[path = "kubernetes_deploy/check.rs"]
mod check;
#[path = "kubernetes_deploy/cluster.rs"]
mod cluster;
#[path = "kubernetes_deploy/helm.rs"]
mod helm;
#[path = "kubernetes_deploy/manifests.rs"]
mod manifests;
#[path = "kubernetes_deploy/pods.rs"]
mod pods;
#[path = "kubernetes_deploy/policies.rs"]
mod policies;
#[path = "kubernetes_deploy/rights.rs"]
mod rights;
#[path = "kubernetes_deploy/template.rs"]
mod template;
