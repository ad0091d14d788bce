//! A function started without anybody in between: spawn, connect as soon as it listens, first byte.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{free_port, loopback};
use crate::affinity::{Cores, Place};
use crate::http1::{self, Answer};
use crate::process::Process;

/// One direct start.
#[derive(Debug)]
pub(crate) struct Start {
    /// From just before the spawn to the first byte of the answer.
    pub(crate) first_byte: Duration,
    /// The whole answer.
    pub(crate) answer: Answer,
    process: Process,
}

impl Start {
    /// Ends the function. Not done while a clock runs.
    pub(crate) fn end(self) {
        self.process.kill();
    }
}

/// How long to wait between two attempts to connect. Without a pause the attempts would take the core that the function
/// needs to start, and the floor would lie too high.
const PAUSE: Duration = Duration::from_micros(50);

/// Starts `program` and asks it for `path`. Polls for its port as often as can be done without taking its core.
pub(crate) fn start(program: &Path, path: &str, cores: &Cores, timeout: Duration) -> Result<Start> {
    let port = free_port()?;
    let mut command = Command::new(program);
    command
        .env("PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let began = Instant::now();
    let process = Process::spawn(&mut command, cores, Place::Anywhere)?;
    let stream = connect(port, began + timeout)?;
    let begun = http1::first_byte(stream, "direct.localhost", path, timeout)?;
    let first_byte = begun.at - began;
    Ok(Start {
        first_byte,
        answer: http1::finish(begun)?,
        process,
    })
}

fn connect(port: u16, deadline: Instant) -> Result<TcpStream> {
    loop {
        match TcpStream::connect(loopback(port)) {
            // The kernel may choose the very port as ours: TCP then connects the socket to itself.
            Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {}
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("it never listened");
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(error) => bail!("connect to {port}: {error}"),
        }
        std::thread::park_timeout(PAUSE);
    }
}
