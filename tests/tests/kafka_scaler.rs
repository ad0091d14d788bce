//! The Kafka scaler against real brokers: KEDA's lag rules, credentials, what goes over the wire, and brokers that fail.

#![allow(clippy::unwrap_used)]

#[path = "kafka_scaler/cluster.rs"]
mod cluster;

#[path = "kafka_scaler/faults.rs"]
mod faults;
#[path = "kafka_scaler/protocol.rs"]
mod protocol;
#[path = "kafka_scaler/proxy.rs"]
mod proxy;
#[path = "kafka_scaler/rules.rs"]
mod rules;
#[path = "kafka_scaler/security.rs"]
mod security;
#[path = "kafka_scaler/three_brokers.rs"]
mod three_brokers;
