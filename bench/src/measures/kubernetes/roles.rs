//! `zeron activator` and `zeron autoscaler` as processes of this machine.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{MEASURE, Namespace};
use crate::affinity::Place;
use crate::bench::{Bench, folder};
use crate::http1;
use crate::process::Process;
use crate::subject::{free_port, loopback};

/// Until a role is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// One look at `/readyz`.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Which role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Activator,
    Autoscaler,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Activator => "activator",
            Self::Autoscaler => "autoscaler",
        }
    }
}

/// A running role; it is ended with this value.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: Process,
    /// Where requests are taken, or reports.
    pub(super) listen: SocketAddr,
    /// From the start of the process until it said that it is ready.
    pub(super) ready_after: Duration,
}

/// One autoscaler and one activator, which act on one namespace.
#[derive(Debug)]
pub(super) struct Roles {
    // Ends first: it says goodbye.
    pub(super) activator: Running,
    _autoscaler: Running,
}

impl Roles {
    /// Starts both and waits until they are ready.
    pub(super) fn start(bench: &Bench, kubeconfig: &Path, namespace: &Namespace) -> Result<Self> {
        Self::start_with(bench, kubeconfig, namespace, &[])
    }

    /// The same, with further arguments of the autoscaler.
    pub(super) fn start_with(
        bench: &Bench,
        kubeconfig: &Path,
        namespace: &Namespace,
        arguments: &[&str],
    ) -> Result<Self> {
        let role = Role::Autoscaler;
        let autoscaler = start_as(bench, role, kubeconfig, namespace, None, arguments)?;
        let reports = Some(autoscaler.listen);
        let activator = start(bench, Role::Activator, kubeconfig, namespace, reports)?;
        Ok(Self {
            activator,
            _autoscaler: autoscaler,
        })
    }
}

/// Starts one role and waits until it is ready. An activator reports to `autoscaler`, or to nobody.
pub(super) fn start(
    bench: &Bench,
    role: Role,
    kubeconfig: &Path,
    namespace: &Namespace,
    autoscaler: Option<SocketAddr>,
) -> Result<Running> {
    start_as(bench, role, kubeconfig, namespace, autoscaler, &[])
}

fn start_as(
    bench: &Bench,
    role: Role,
    kubeconfig: &Path,
    namespace: &Namespace,
    autoscaler: Option<SocketAddr>,
    arguments: &[&str],
) -> Result<Running> {
    let listen = loopback(free_port()?);
    let health = loopback(free_port()?);
    let mut command = Command::new(bench.zeron_program()?);
    command.arg(role.name()).arg("--kubeconfig").arg(kubeconfig);
    command.args(["--watch-namespace", &namespace.name]);
    command.args(["--pod-namespace", &namespace.name]);
    command.args(["--pod-name", role.name(), "--manage", "all"]);
    // The broker is a process of this machine too.
    command.args(["--log-format", "text", "--allow-loopback-triggers"]);
    command.args(["--listen", &listen.to_string()]);
    command.args(["--health-listen", &health.to_string()]);
    match role {
        Role::Activator => {
            let peers = loopback(free_port()?);
            command.args(["--peer-listen", &peers.to_string(), "--lame-duck", "0s"]);
            let nobody = loopback(free_port()?);
            let autoscaler = autoscaler.unwrap_or(nobody);
            command.args(["--autoscaler", &autoscaler.to_string()]);
        }
        Role::Autoscaler => {
            let api = loopback(free_port()?);
            command.args(["--api-listen", &api.to_string(), "--insecure-reports"]);
        }
    }
    command.args(arguments);
    let log = log_file(role)?;
    let file = File::options().create(true).append(true).open(&log)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let began = Instant::now();
    let mut process = Process::spawn(&mut command, &bench.cores, Place::Anywhere)?;
    let ready_after = wait_until_ready(&mut process, health, began)
        .with_context(|| format!("{}: see {}", role.name(), log.display()))?;
    Ok(Running {
        process,
        listen,
        ready_after,
    })
}

fn log_file(role: Role) -> Result<PathBuf> {
    Ok(folder(MEASURE)?.join(format!("{}.log", role.name())))
}

fn wait_until_ready(process: &mut Process, health: SocketAddr, began: Instant) -> Result<Duration> {
    loop {
        let asked = http1::get(health, &health.to_string(), "/readyz", ASK_TIMEOUT);
        if asked.is_ok_and(|answer| answer.status == 200) {
            return Ok(began.elapsed());
        }
        if let Some(status) = process.try_wait()? {
            anyhow::bail!("it ended with {status}");
        }
        anyhow::ensure!(
            began.elapsed() < READY_WITHIN,
            "not ready within {READY_WITHIN:?}"
        );
        std::thread::park_timeout(LOOK);
    }
}
