//! serving.knative.dev kinds and `config-autoscaler`, translated to core types.
//!
//! A [`Service`] is read from a manifest, its [`RevisionTemplate`] becomes one function per
//! revision, its [`TrafficTarget`]s become routes. Inside an existing Knative the revisions are its own:
//! [`autoscaling`] reads what its reconcilers declare of them. Source of ranges and defaults: knative/serving.

mod annotation;
pub mod autoscaling;
mod config;
mod service;
mod template;
mod traffic;

pub use config::{AutoscalerConfig, ConfigProblem};
pub use service::Service;
pub use template::RevisionTemplate;
pub use traffic::{RevisionTarget, TrafficTarget};
