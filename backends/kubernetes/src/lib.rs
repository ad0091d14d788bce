//! Replicas are pods of a Kubernetes cluster: what is watched, what is written, who may.

mod api;
mod back_off;
pub mod client;
mod counters;
pub mod lease;
pub mod pods;
mod quantity;
pub mod scale;
pub mod shards;
pub mod target;

pub use api::CallError;
pub use client::{ClientError, ClientOptions};
pub use counters::Counters;
pub use lease::{Campaign, Leadership, Lease, LeaseConfig};
pub use pods::{Pods, PodsConfig};
pub use scale::{KubernetesBackend, ScaleConfig, ScaleEvent, WakeError, WakeOutcome, Waker};
pub use shards::{ShardSet, Shards, ShardsConfig, shard_of};
pub use target::{LabelSelector, ScaleTarget, SelectorError, TargetPort};
