//! Event sources: each turns a trigger into a metric value.
//!
//! `registry` picks the source of a trigger's type (`known` lists all names of KEDA), which reads
//! the trigger's `parameters` and hands out a client (`source`) shared by all triggers of the same
//! server and credentials. One folder per source; a new source is one folder and one line in
//! [`Registry::builtin`].

mod address;
#[cfg(feature = "http")]
mod credentials;
#[cfg(feature = "cron")]
mod cron;
#[cfg(feature = "external")]
mod external;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod known;
pub mod kubernetes;
#[cfg(feature = "http")]
mod metrics_api;
#[cfg(feature = "sql")]
mod mysql;
#[cfg(feature = "http")]
mod nats_jetstream;
pub mod parameters;
mod per_namespace;
#[cfg(feature = "sql")]
mod postgresql;
#[cfg(feature = "http")]
mod prometheus;
#[cfg(feature = "amqp")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;
mod registry;
mod resources;
pub mod source;
#[cfg(feature = "sql")]
mod sql;
#[cfg(test)]
mod testkit;
#[cfg(feature = "tls")]
mod tls;

pub use address::{AddressOwners, AddressPolicy, Territory};
#[cfg(feature = "http")]
pub use metrics_api::{EndpointLookup, ReadyEndpoint, ServiceName};
pub use per_namespace::PerNamespace;
pub use registry::{Registry, SourceType, TriggerType, configuration};
pub use resources::Resources;
