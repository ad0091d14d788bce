//! What is measured, and what it is measured against.
//!
//! [`origin`] answers; [`floor`] is the least that a reverse proxy can cost; [`direct`] starts a function without
//! anybody in between; [`zeron`] is the subject, a black box with manifests from [`manifest`]. [`events`] tells when
//! origins start and are told to stop.

pub(crate) mod direct;
pub(crate) mod events;
pub(crate) mod floor;
pub(crate) mod manifest;
pub(crate) mod origin;
pub(crate) mod zeron;

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::affinity::{Cores, Place};
use crate::process::Process;

/// A listener of this machine, on a port that the kernel chooses for 0.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(loopback(0))?
        .local_addr()?
        .port())
}

/// Another role of this program, in a process of its own, listening.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Its process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Listening {
    /// Starts this program as `role`, and waits until it tells where it listens.
    pub(crate) fn start(role: &[&str], cores: &Cores, place: Place) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(role)
            .env_remove("PORT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command, cores, place)?;
        let stdout = process.child().stdout.take().context("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .strip_prefix("listening ")
            .with_context(|| format!("{role:?} said {line:?}"))?;
        Ok(Self {
            process,
            address: address.parse()?,
        })
    }
}
