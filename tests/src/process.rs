//! Processes by their ids: alive, how large, signals.

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// Whether it runs; one that ended and was not waited for does not.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name stands in brackets and may hold spaces; the state follows.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Resident memory in bytes.
///
/// # Panics
/// When the process is gone.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a running process has a size") * 1024
}

/// Time on processors since it began, in clock ticks (hundredths of a second on Linux).
///
/// # Panics
/// When the process is gone.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("the name is in brackets");
    let mut fields = fields
        .split_whitespace()
        .skip(11)
        .map(|n| n.parse::<u64>().unwrap_or(0));
    fields.next().unwrap_or(0) + fields.next().unwrap_or(0)
}

/// Children of a process, and theirs.
pub fn descendants(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let children = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|child| child.parse().ok());
    children
        .flat_map(|child| std::iter::once(child).chain(descendants(child)))
        .collect()
}

/// Sends a signal. One to a process that is gone has no effect.
pub fn signal(pid: u32, signal: Signal) {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let sent = target.map(|pid| kill_process(pid, signal));
    debug_assert!(sent.is_some(), "{pid} is no process id");
}
