//! A running replica: from its process to its end.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use zeron_core::{EndpointId, Function};

use super::{EXIT, LATE, OUTPUT_TIMEOUT, Supervisor, Timer};
use crate::clock::Now;
use crate::exit;
use crate::logs::{LogEvent, Tail};
use crate::metrics::FailureCause;
use crate::probe::{Attempt, Schedule};
use crate::spawner::Spawned;

/// What belongs to one process.
pub(super) struct Live {
    pub(super) function: Arc<Function>,
    child: Child,
    /// Readable once the process ended.
    pidfd: OwnedFd,
    port: Option<u16>,
    tail: Arc<Tail>,
    /// Just before the process was started.
    pub(super) begun: Instant,
    pub(super) address: Option<SocketAddr>,
    pub(super) schedule: Schedule,
    /// Number of the newest probe.
    pub(super) attempt: u32,
    pub(super) probing: Option<Attempt>,
    /// Its first readiness is being waited for.
    pub(super) is_in_crowd: bool,
    pub(super) was_ready: bool,
    /// SIGTERM was sent.
    is_stopping: bool,
    exit: Option<ExitStatus>,
}

impl Live {
    fn new(spawned: Spawned) -> Self {
        Self {
            function: spawned.function,
            child: spawned.child,
            pidfd: spawned.pidfd,
            port: spawned.port,
            tail: spawned.tail,
            begun: spawned.begun,
            address: spawned.process.address,
            schedule: Schedule::new(spawned.begun),
            attempt: 0,
            probing: None,
            is_in_crowd: false,
            was_ready: false,
            is_stopping: false,
            exit: None,
        }
    }

    /// Its process ended, even if nobody has noticed yet.
    pub(super) fn has_ended(&self) -> bool {
        let mut set = [PollFd::new(&self.pidfd, PollFlags::IN)];
        self.exit.is_some() || !matches!(poll(&mut set, Some(&Timespec::default())), Ok(0))
    }

    /// Signals all processes of the replica. Only before its leader is reaped: until then the
    /// group's number cannot be used again.
    fn signal(&self, signal: Signal) {
        if self.exit.is_none() {
            // That no process is left in the group is what is wanted.
            kill_process_group(Pid::from_child(&self.child), signal).ok();
        }
    }
}

impl Supervisor {
    pub(super) fn spawned(&mut self, spawned: Spawned) {
        let (id, process, begun) = (spawned.id, spawned.process, spawned.begun);
        let live = Live::new(spawned);
        let metrics = &self.shared.metrics;
        metrics.starts.inc();
        metrics.running.inc();
        metrics.spawn_seconds.observe(begun.elapsed().as_secs_f64());
        let watch = self.poller.watch_readable(&live.pidfd, (id.0 << 2) | EXIT);
        let deadline = begun + live.function.workload.start_deadline;
        self.live.insert(id, live);
        let wanted = self.shared.fleet.lock().started(id, process);
        match wanted {
            Some(function) if watch.is_ok() => {
                self.timers.set(deadline, Timer::Deadline(id));
                self.timers
                    .set(Instant::now() + LATE, Timer::Publish(function.clone()));
                self.late.insert(function);
                self.begin_probing(id);
            }
            _ => self.draining.push(id),
        }
    }

    /// Its process ended: whatever it left behind ends too.
    pub(super) fn exited(&mut self, id: EndpointId) {
        self.end_probing(id);
        let Some(live) = self.live.get_mut(&id).filter(|live| live.exit.is_none()) else {
            return;
        };
        live.signal(Signal::KILL);
        let status = match live.child.try_wait() {
            Ok(Some(status)) => status,
            Ok(None) => return,
            // Somebody else took its status.
            Err(_) => ExitStatus::from_raw(0),
        };
        live.exit = Some(status);
        self.poller.forget(&live.pidfd);
        self.shared.keeper.retire(live.child.id());
        self.shared.metrics.running.dec();
        let effects = self.shared.fleet.lock().gone(id);
        self.apply(effects);
        self.shared.logs.push(LogEvent::Finish(id));
        self.timers
            .set(Instant::now() + OUTPUT_TIMEOUT, Timer::Output(id));
    }

    /// It is gone and its last words are known.
    pub(super) fn ended(&mut self, id: EndpointId) {
        let Some(status) = self.live.get(&id).and_then(|live| live.exit) else {
            return;
        };
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        let port = live.port;
        let is_taken = port.is_some_and(|port| self.shared.ports.lock().release(port));
        let limits = live.function.workload.limits;
        if limits.memory_bytes.is_some() || limits.cpu_millis.is_some() {
            self.shared.cgroups.remove(id);
        }
        let mut happened = exit::describe(status);
        let mut reason = exit::reason(status);
        if is_taken && !live.was_ready && !live.is_stopping {
            happened.push_str(", and another process listens on its port");
            "PortTaken".clone_into(&mut reason);
        }
        if !live.is_stopping {
            self.shared.metrics.failed(FailureCause::exited);
            tracing::info!(function = %live.function.id, replica = %id, "replica {happened}");
        }
        let message = live.tail.explain(&happened);
        let now = Now::read();
        let effects = self.shared.fleet.lock().ended(id, reason, message, now);
        self.apply(effects);
    }

    /// It had long enough to become ready.
    pub(super) fn overdue(&mut self, id: EndpointId) {
        let Some(live) = self.live.get(&id).filter(|live| live.is_in_crowd) else {
            return;
        };
        let after = live.function.workload.start_deadline;
        let mut happened = format!("not ready after {after:?}");
        if let Some(port) = live.port {
            happened.push_str(&format!("; it is probed on $PORT, which was {port}"));
        }
        let message = live.tail.explain(&happened);
        self.shared.metrics.failed(FailureCause::deadline);
        let now = Now::read();
        let effects = self.shared.fleet.lock().overdue(id, message, now);
        self.apply(effects);
    }

    /// SIGTERM now, SIGKILL after the grace time.
    pub(super) fn terminate(&mut self, id: EndpointId) {
        self.end_probing(id);
        let Some(live) = self.live.get_mut(&id).filter(|live| !live.is_stopping) else {
            return;
        };
        live.is_stopping = true;
        live.signal(Signal::TERM);
        let grace = match &self.stopping {
            Some(stopping) => stopping.grace,
            None => live.function.workload.termination_grace,
        };
        self.timers.set(Instant::now() + grace, Timer::Kill(id));
    }

    /// Its grace is over.
    pub(super) fn kill(&mut self, id: EndpointId) {
        if let Some(live) = self.live.get(&id).filter(|live| live.exit.is_none()) {
            live.signal(Signal::KILL);
            self.shared.metrics.kills.inc();
        }
    }
}
