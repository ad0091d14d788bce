//! Ctrl-C during a run that has things to take down: noted, passed on to the running command, then the run ends in order.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long an interrupted command may take to end by itself.
const GRACE: Duration = Duration::from_secs(15);

const LOOK: Duration = Duration::from_millis(50);

static WATCHED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on a signal ends this process only through [`check`] and [`run`].
pub(crate) fn watch() -> anyhow::Result<()> {
    let flag = WATCHED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context("cannot catch signals")?;
    }
    Ok(())
}

fn is_interrupted() -> bool {
    WATCHED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// An error once there was a signal.
pub(crate) fn check() -> anyhow::Result<()> {
    if is_interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

/// Runs a command to its end. While signals are watched it has a process group of its own: what interrupts this process
/// is passed on to all of the group, which then has a while to end before it is killed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    if WATCHED.get().is_none() {
        return command.status().context("cannot run it");
    }
    check()?;
    // A group in the background may not read from the terminal.
    command.process_group(0).stdin(Stdio::null());
    let mut child = command.spawn().context("cannot run it")?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if is_interrupted() {
            end(&mut child)?;
            bail!("interrupted");
        }
        std::thread::park_timeout(LOOK);
    }
}

fn end(child: &mut Child) -> anyhow::Result<()> {
    let group = Pid::from_child(child);
    println!("\n== interrupted: ending what runs");
    let deadline = Instant::now() + GRACE;
    // A group that is gone already needs no signal.
    kill_process_group(group, Signal::INT).unwrap_or_default();
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            kill_process_group(group, Signal::KILL).unwrap_or_default();
            child.wait()?;
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}
