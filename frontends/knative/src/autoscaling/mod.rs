//! Knative's internal autoscaling kinds: what a PodAutoscaler asks for, and what is wanted of the objects that belong to it.
//!
//! A [`PodAutoscaler`] and the cluster's [`ServingConfig`] become a function; what the engine
//! decides of it becomes the spec of its [`ServerlessService`] and [`Metric`], and its own status.
//! Only the fields that are used here are read and written: others stay as they are. Source:
//! knative/serving `pkg/reconciler/autoscaling`.

mod child;
mod condition;
mod config;
mod function;
mod metadata;
mod metric;
mod pod_autoscaler;
mod serverless_service;
mod status;
mod time;

pub use child::{Change, Child};
pub use condition::{Condition, ConditionStatus};
pub use config::{ConfigMapName, MeshCompatibility, ServingConfig};
pub use metadata::{Metadata, OwnerReference};
pub use metric::{Collection, Metric, MetricSpec, MetricStatus};
pub use pod_autoscaler::{
    ObjectReference, PodAutoscaler, PodAutoscalerSpec, PodAutoscalerStatus, Reachability,
};
pub use serverless_service::{
    ServerlessService, ServerlessServiceSpec, ServerlessServiceStatus, SksMode,
};
pub use status::Seen;

/// Group and version of PodAutoscaler and Metric.
pub const AUTOSCALING_API: &str = "autoscaling.internal.knative.dev/v1alpha1";
/// Group and version of ServerlessService.
pub const NETWORKING_API: &str = "networking.internal.knative.dev/v1alpha1";
