//! A broker: the one that was named, or a local one for the time of the measure.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::affinity::Place;
use crate::bench::{Bench, note};
use crate::process::Process;
use crate::subject::{free_port, loopback};

/// Where brokers are, and the process of ours.
#[derive(Debug)]
pub(in crate::measures) struct Broker {
    pub(in crate::measures) addresses: String,
    _process: Option<Process>,
}

/// The broker of `--brokers`, else one that `kafka-broker run` starts. `None`, said loudly, where there is none.
pub(in crate::measures) fn obtain(bench: &Bench) -> Result<Option<Broker>> {
    if let Some(addresses) = bench.options.brokers.clone() {
        return Ok(Some(Broker {
            addresses,
            _process: None,
        }));
    }
    let program = std::env::current_exe()?.with_file_name("kafka-broker");
    if !build(bench, &program)? {
        note(
            "SKIPPED: kafka needs --brokers HOST:PORT, or a local broker: cargo build --release -p zeron-tests --bin kafka-broker",
        );
        return Ok(None);
    }
    let address = loopback(free_port()?).to_string();
    let mut command = Command::new(program);
    command
        .args(["run", &address])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut process = Process::spawn(&mut command, &bench.cores, Place::Anywhere)?;
    let stdout = process.child().stdout.take().context("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if !line.contains(&address) {
        note(
            "SKIPPED: the local Kafka broker did not start (it needs Java, and Maven for its jars)",
        );
        return Ok(None);
    }
    Ok(Some(Broker {
        addresses: address,
        _process: Some(process),
    }))
}

/// Whether there is a broker's program, built now under `cargo run`.
fn build(bench: &Bench, program: &Path) -> Result<bool> {
    bench.cargo_build(&["-p", "zeron-tests", "--bin", "kafka-broker"])?;
    Ok(program.is_file())
}
