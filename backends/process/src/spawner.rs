//! Starts processes: threads of their own, because a start waits for the disk.

use std::io::{PipeReader, pipe};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use zeron_core::workload::Port;
use zeron_core::{EndpointId, Function};

use crate::clock::Now;
use crate::fleet::{Order, Process};
use crate::keeper;
use crate::launch::{LaunchError, Replica};
use crate::logs::{Output, Tail};
use crate::shared::Shared;
use crate::supervisor::Event;

/// A replica whose process runs.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) id: EndpointId,
    pub(crate) function: Arc<Function>,
    pub(crate) child: Child,
    pub(crate) pidfd: OwnedFd,
    pub(crate) port: Option<u16>,
    pub(crate) process: Process,
    pub(crate) tail: Arc<Tail>,
    /// Just before the process was started.
    pub(crate) begun: Instant,
}

/// A running replica to put under its limits.
#[derive(Debug)]
pub(crate) struct LimitOrder {
    id: EndpointId,
    pid: Pid,
    function: Arc<Function>,
}

/// Runs one spawner until the orders are closed.
pub(crate) fn run(shared: &Shared) {
    while let Some(order) = shared.orders.take() {
        if shared.fleet.lock().begin(order.id) {
            start(shared, order);
        }
    }
}

fn start(shared: &Shared, order: Order) {
    let id = order.id;
    let port = match choose_port(shared, &order) {
        Ok(port) => port,
        Err(error) => return shared.supervisor.push(Event::NotStarted(id, error)),
    };
    let function = Arc::clone(&order.function);
    match spawn(shared, order, port) {
        Ok(spawned) => {
            let pid = Pid::from_child(&spawned.child);
            shared.supervisor.push(Event::Spawned(Box::new(spawned)));
            // After the hand-over: moving a process into a group can take many milliseconds. That
            // its number is another's by then would take a turn through all process numbers.
            let limits = function.workload.limits;
            if limits.cpu_millis.is_some() || limits.memory_bytes.is_some() {
                let order = LimitOrder { id, pid, function };
                let limiter = shared.limits.lock().clone();
                // Closed only at the end, when limits do not matter any more.
                limiter.and_then(|limiter| limiter.send(order).ok());
            }
        }
        Err(error) => {
            if let Some(port) = port {
                shared.ports.lock().release(port);
            }
            shared.supervisor.push(Event::NotStarted(id, error));
        }
    }
}

fn choose_port(shared: &Shared, order: &Order) -> Result<Option<u16>, LaunchError> {
    let mut ports = shared.ports.lock();
    Ok(match order.function.workload.port {
        None => None,
        Some(Port::Assigned) => Some(ports.assign(order.id)?),
        Some(Port::Fixed(port)) => {
            ports.reserve(order.id, port.get())?;
            Some(port.get())
        }
    })
}

fn spawn(shared: &Shared, order: Order, port: Option<u16>) -> Result<Spawned, LaunchError> {
    let Order { id, function } = order;
    let name = shared.replica_name(&function.id, id);
    let mut command = shared.surroundings.command(Replica {
        function: &function,
        name: &name,
        port,
    })?;
    let (stdout, stderr) = redirect(&mut command).map_err(LaunchError::Pipes)?;
    let begun = Now::read();
    let mut child = command.spawn().map_err(|source| LaunchError::Exec {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    // The command holds our ends of the child's pipes: they must not outlive the child.
    drop(command);
    let pid = child.id();
    if let Some(open_files) = &shared.config.open_files {
        open_files.restore(pid);
    }
    shared
        .keeper
        .announce(pid, keeper::start_time(pid).unwrap_or(0));
    let tail = Arc::new(Tail::default());
    let output = Output {
        replica: id,
        path: shared.log_path(&function.id, id),
        stdout,
        stderr,
        tail: Arc::clone(&tail),
    };
    let pidfd = match follow(shared, &child, output) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            // Nobody could tell its end: it must not live.
            child.kill().ok();
            child.wait().ok();
            shared.keeper.retire(pid);
            return Err(LaunchError::Follow(error));
        }
    };
    let process = Process {
        pid,
        address: port.map(|port| shared.address(port)),
        started_at: begun.timestamp,
    };
    Ok(Spawned {
        id,
        function,
        child,
        pidfd,
        port,
        process,
        tail,
        begun: begun.instant,
    })
}

fn follow(shared: &Shared, child: &Child, output: Output) -> std::io::Result<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    shared.logs.open(output)?;
    Ok(pidfd)
}

fn redirect(command: &mut Command) -> std::io::Result<(PipeReader, PipeReader)> {
    let (stdout, child_stdout) = pipe()?;
    let (stderr, child_stderr) = pipe()?;
    command.stdout(child_stdout).stderr(child_stderr);
    Ok((stdout, stderr))
}

/// Puts replicas under their limits until the channel is closed.
pub(crate) fn run_limits(shared: &Shared, orders: &Receiver<LimitOrder>) {
    let mut has_warned = false;
    while let Ok(order) = orders.recv() {
        let limits = order.function.workload.limits;
        let enforced = shared.cgroups.limit(order.id, order.pid, limits, |dir| {
            shared.keeper.add_cgroup(dir);
        });
        let unenforced = Some(crate::limits::Enforcement::Unenforced);
        if !has_warned && (enforced.memory == unenforced || enforced.cpu == unenforced) {
            has_warned = true;
            tracing::warn!(
                function = %order.function.id,
                ?enforced,
                "resource limits cannot be enforced on this machine"
            );
        }
        shared.fleet.lock().enforced(order.id, enforced);
    }
}
