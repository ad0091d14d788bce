//! The Kafka scaler against a real broker: KEDA's lag rules, credentials, and a broker that fails.

#![allow(clippy::unwrap_used)]

#[path = "kafka_scaler/cluster.rs"]
mod cluster;

#[path = "kafka_scaler/faults.rs"]
mod faults;
#[path = "kafka_scaler/rules.rs"]
mod rules;
#[path = "kafka_scaler/security.rs"]
mod security;
