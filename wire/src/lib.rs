//! What activator and autoscaler say to each other.
//!
//! In one process the messages go through bounded channels ([`link()`]). Between processes each
//! activator dials every autoscaler ([`client::connect`]) and each autoscaler listens
//! ([`server::Server`]) and makes one link of many activators ([`hub::Hub`]). Beside Knative's own
//! replicas its protocol is spoken instead ([`knative`]).

#[cfg(debug_assertions)]
mod ahead;
pub mod client;
mod codec;
pub mod hub;
pub mod knative;
pub mod link;
pub mod message;
pub mod seconds;
pub mod server;
mod socket;
mod version;

pub use client::{ClientConfig, connect};
pub use hub::{Hub, HubConfig};
pub use link::{ActivatorLink, AutoscalerLink, link};
pub use message::{Coverage, Drain, DrainId, Drained, ToActivator, ToAutoscaler, Wake};
pub use seconds::Seconds;
pub use server::{Authenticate, Identity, Refused, Server, ServerConfig};
pub use version::Versions;
