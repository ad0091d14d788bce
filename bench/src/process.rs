//! Child processes: pinned from their first instruction, watched, and always ended.

mod pod;
mod usage;

use std::fmt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::affinity::{Cores, Place};

pub(crate) use pod::process_of_pod;
pub(crate) use usage::{CpuTime, cpu_time, resident_bytes};

/// How long a child may take to end after SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(10);

/// Pids of children that have not been reaped, so that Ctrl-C can end them. A pid leaves before it is reaped:
/// until then the kernel gives it to nobody else.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Set by Ctrl-C: nothing may be started any more.
static IS_STOPPING: AtomicBool = AtomicBool::new(false);

/// A child process that ends with this value.
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    is_reaped: bool,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Process {
    /// Starts `command` in a process group of its own (a Ctrl-C in the terminal reaches only us).
    pub(crate) fn spawn(command: &mut Command, cores: &Cores, place: Place) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
        let mut running = RUNNING.lock();
        anyhow::ensure!(!IS_STOPPING.load(Ordering::Acquire), "stopping");
        let before = cores.enter(place)?;
        let spawned = command.spawn();
        before.restore()?;
        let child =
            spawned.with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let pid = Pid::from_child(&child);
        running.push(pid);
        Ok(Self {
            child,
            pid,
            is_reaped: false,
        })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// The pipes, where the command asked for them.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status, if it has ended.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        let mut running = RUNNING.lock();
        let status = self.child.try_wait()?;
        if status.is_some() {
            running.retain(|&pid| pid != self.pid);
            self.is_reaped = true;
        }
        Ok(status)
    }

    /// Sends SIGKILL and reaps: for subjects that hold nothing worth keeping.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait_until(Instant::now() + TERM_GRACE);
    }

    fn signal(&self, signal: Signal) {
        if !self.is_reaped {
            // It may have ended already; it cannot be somebody else before it is reaped.
            kill_process(self.pid, signal).ok();
        }
    }

    fn wait_until(&mut self, deadline: Instant) -> bool {
        loop {
            match self.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    std::thread::park_timeout(Duration::from_millis(1))
                }
                Ok(None) => return false,
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        self.signal(Signal::TERM);
        if !self.wait_until(Instant::now() + TERM_GRACE) {
            eprintln!(
                "process {} ignored SIGTERM for {TERM_GRACE:?}: killed",
                self.pid
            );
            self.signal(Signal::KILL);
            self.wait_until(Instant::now() + TERM_GRACE);
        }
    }
}

/// On Ctrl-C or SIGTERM ends all children, each by its pid, then this process.
pub(crate) fn end_children_when_interrupted() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                interrupted().await;
                IS_STOPPING.store(true, Ordering::Release);
                end_all(Signal::TERM);
                tokio::time::sleep(Duration::from_secs(2)).await;
                end_all(Signal::KILL);
            });
            std::process::exit(130);
        })?;
    Ok(())
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    eprintln!("interrupted: ending what was started");
}

fn end_all(signal: Signal) {
    for &pid in RUNNING.lock().iter() {
        kill_process(pid, signal).ok();
    }
}
