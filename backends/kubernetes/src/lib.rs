//! Replicas are pods of a Kubernetes cluster: what is watched, what is written, who may.
//!
//! Modules in the order in which data meets them: [`client`] connects; a caller declares each
//! [`target`]; [`pods`] joins targets and pods and publishes endpoints ([`endpoints`]
//! those behind Knative's Services); [`scale`] writes counts, [`jobs`] makes Jobs;
//! [`lease`], [`shards`] and [`buckets`] say who may; [`metrics`] reads what pods use, [`workload`] counts them; [`services`] say
//! whose an address is, [`endpoint_slices`] who is behind a Service; [`token`] says who connects to us. Knows no front end: what a cluster declares comes in as targets and functions.

mod api;
mod back_off;
pub mod buckets;
pub mod client;
mod counters;
pub mod endpoint_slices;
pub mod endpoints;
mod following;
pub mod jobs;
pub mod lease;
pub mod metrics;
pub mod pods;
pub mod scale;
pub mod services;
pub mod shards;
pub mod target;
pub mod token;
pub mod workload;

pub use api::CallError;
pub use buckets::{Buckets, BucketsConfig, BucketsConfigError, Ordinals};
pub use client::{ClientError, ClientOptions};
pub use counters::Counters;
pub use endpoint_slices::{EndpointSlices, SlicedEndpoint};
pub use endpoints::{EndpointsConfig, MeshCompatibility, RevisionTarget, ServiceEndpoints};
pub use jobs::Jobs;
pub use lease::{Campaign, Leadership, Lease, LeaseConfig};
pub use metrics::PodMeter;
pub use pods::{Pods, PodsConfig};
pub use scale::{KubernetesBackend, ScaleConfig, ScaleEvent, WakeError, WakeOutcome, Waker};
pub use services::Services;
pub use shards::{ShardSet, Shards, ShardsConfig, shard_of};
pub use target::{LabelSelector, ScaleTarget, SelectorError, TargetPort};
pub use token::{Identity, TokenConfig, TokenError, TokenReviewer};
pub use workload::{WorkloadQuery, Workloads};
