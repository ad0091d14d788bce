//! Replicas are pods of a Kubernetes cluster: what is watched, what is written, who may.

pub mod target;

pub use target::{LabelSelector, ScaleTarget, SelectorError, TargetPort};
