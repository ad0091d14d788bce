//! The PostgreSQL scaler against a real server: numbers, queries that fail, TLS, notifications; and a server that
//! fails.

#![allow(clippy::unwrap_used)]

#[path = "scaler_postgresql/faults.rs"]
mod faults;
#[path = "scaler_sql/outages.rs"]
mod outages;
#[path = "scaler_postgresql/pooler.rs"]
mod pooler;
#[path = "scaler_postgresql/push.rs"]
mod push;
#[path = "scaler_postgresql/security.rs"]
mod security;
#[path = "scaler_postgresql/values.rs"]
mod values;
#[path = "scaler_postgresql/world.rs"]
mod world;
