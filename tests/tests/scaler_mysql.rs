//! The MySQL scaler against a real MariaDB: numbers, queries that fail, TLS; and a server that fails.

#![allow(clippy::unwrap_used)]

#[path = "scaler_mysql/faults.rs"]
mod faults;
#[path = "scaler_sql/outages.rs"]
mod outages;
#[path = "scaler_mysql/security.rs"]
mod security;
#[path = "scaler_mysql/values.rs"]
mod values;
#[path = "scaler_mysql/world.rs"]
mod world;
