//! What /proc tells of processes.

use std::fs;

use crate::launch::INSTANCE_VARIABLE;

/// When process `pid` started, in clock ticks since boot: with it a number names one process only.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat_field(pid, 19)?.parse().ok()
}

/// Whether `pid` runs: a zombie does not.
pub(super) fn is_running(pid: u32) -> bool {
    stat_field(pid, 0).is_some_and(|state| state != "Z" && state != "X")
}

/// The `n`th field after the name in /proc/PID/stat; the name may contain anything.
fn stat_field(pid: u32, n: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(n).map(str::to_owned)
}

/// Process group of `pid`.
pub(super) fn group(pid: u32) -> Option<u32> {
    stat_field(pid, 2)?.parse().ok()
}

/// Running processes that were started with the environment of back end `token`.
pub(super) fn with_token(token: &str) -> Vec<u32> {
    all()
        .filter(|pid| has_token(*pid, token) && is_running(*pid))
        .collect()
}

/// Running processes of the groups `groups`.
pub(super) fn in_groups(groups: &[u32]) -> Vec<u32> {
    all()
        .filter(|pid| group(*pid).is_some_and(|g| groups.contains(&g)) && is_running(*pid))
        .collect()
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_token(pid: u32, token: &str) -> bool {
    // Processes of others cannot be read, and are none of ours.
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let wanted = format!("{INSTANCE_VARIABLE}={token}");
    environ
        .split(|byte| *byte == 0)
        .any(|variable| variable == wanted.as_bytes())
}
