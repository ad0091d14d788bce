//! The local Kafka broker: its jars, kept in `target/test-deps/kafka`, and running one.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::{cargo, java};

/// Fetches what the tests' broker needs, with the `kafka-broker` that is built already. Where that is
/// impossible the tests skip themselves, by name.
pub(crate) fn prepare() -> anyhow::Result<()> {
    java::prepare();
    println!("== Kafka's jars: fetched through Maven once, then kept in target/test-deps/kafka");
    let program = cargo::target().join("debug/kafka-broker");
    let status = Command::new(&program)
        .arg("prepare")
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        println!("== without them the tests that need a Kafka broker are skipped");
    }
    Ok(())
}

/// Runs a broker at `address` until Ctrl-C.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    ensure!(java::prepare(), "a Kafka broker needs java and mvn");
    let binary = [
        "run",
        "--quiet",
        "--package",
        "zeron-tests",
        "--bin",
        "kafka-broker",
        "--",
    ];
    cargo::run(&[&binary[..], &["run", &address.to_string()]].concat())
}
