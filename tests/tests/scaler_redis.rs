//! The Redis scalers against real servers: single ones, sentinels, clusters; and servers that fail.

#![allow(clippy::unwrap_used)]

#[path = "scaler_redis/cluster.rs"]
mod cluster;
#[path = "scaler_redis/faults.rs"]
mod faults;
#[path = "scaler_redis/lists.rs"]
mod lists;
#[path = "scaler_redis/push.rs"]
mod push;
#[path = "scaler_redis/security.rs"]
mod security;
#[path = "scaler_redis/sentinel.rs"]
mod sentinel;
#[path = "scaler_redis/streams.rs"]
mod streams;
#[path = "scaler_redis/world.rs"]
mod world;
