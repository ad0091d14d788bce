//! The local Kafka broker: its jars, kept in `target/test-deps/kafka`, and running one.

use std::net::SocketAddr;

use anyhow::ensure;

use crate::{cargo, java};

const BINARY: [&str; 6] = [
    "run",
    "--quiet",
    "--package",
    "zeron-tests",
    "--bin",
    "kafka-broker",
];

/// Fetches what the tests' broker needs. Where that is impossible its tests are skipped, by name.
pub(crate) fn prepare() -> anyhow::Result<()> {
    if !java::prepare() {
        println!("== the tests with a Kafka broker will be skipped");
        return Ok(());
    }
    println!("== Kafka's jars: from Maven once, then kept in target/test-deps/kafka");
    if let Err(error) = broker(&["prepare"]) {
        println!("== the tests with a Kafka broker will be skipped: {error:#}");
    }
    Ok(())
}

/// Runs a broker at `address` until Ctrl-C.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    ensure!(java::prepare(), "a Kafka broker needs java and mvn");
    broker(&["run", &address.to_string()])
}

fn broker(arguments: &[&str]) -> anyhow::Result<()> {
    cargo::run(&[&BINARY[..], &["--"], arguments].concat())
}
