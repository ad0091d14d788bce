//! Knative's own protocol between activators and autoscalers: statistics as protobuf messages
//! over WebSocket, without any answer. Spoken with Knative's replicas and with our own beside them.
//!
//! Modules in the order in which a statistic meets them: [`client`] sends what an activator
//! counted, by [`rules`]; [`server`] takes it in; [`forwarder`] brings it to the autoscaler that
//! decides for its function.

mod client;
mod dial;
mod forwarder;
mod peer;
pub mod proto;
mod rules;
mod server;

pub use client::{StatClient, StatClientConfig, StatConnection};
pub use forwarder::Forwarder;
pub use server::{StatServer, StatServerConfig};
