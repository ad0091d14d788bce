//! The RabbitMQ scaler against a real server: lengths and rates by both protocols, credentials, and servers that fail.

#![allow(clippy::unwrap_used)]

#[path = "scaler_rabbitmq/consumer.rs"]
mod consumer;
#[path = "scaler_rabbitmq/triggers.rs"]
mod triggers;

#[path = "scaler_rabbitmq/amqp.rs"]
mod amqp;
#[path = "scaler_rabbitmq/faults.rs"]
mod faults;
#[path = "scaler_rabbitmq/management.rs"]
mod management;
#[path = "scaler_rabbitmq/security.rs"]
mod security;
