//! What a process has used: CPU time of all its threads, and resident memory.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;

/// CPU time per thread at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuTime(HashMap<String, Duration>);

impl CpuTime {
    /// CPU time used since `earlier` by the threads that still run. A thread that ended in between is not
    /// counted: read before and after a steady phase.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let used = self.0.iter().map(|(thread, now)| {
            let before = earlier.0.get(thread).copied().unwrap_or_default();
            now.saturating_sub(before)
        });
        used.sum()
    }
}

/// CPU time of every thread of `pid`, children excluded, in nanoseconds from the scheduler.
///
/// `/proc/PID/schedstat` speaks of the first thread only; `/proc/PID/stat` counts in ticks of 10 ms.
pub(crate) fn cpu_time(pid: Pid) -> Result<CpuTime> {
    let tasks = format!("/proc/{pid}/task");
    let mut threads = HashMap::new();
    for entry in std::fs::read_dir(&tasks).with_context(|| tasks.clone())? {
        let entry = entry?;
        let Ok(text) = std::fs::read_to_string(entry.path().join("schedstat")) else {
            continue; // it ended meanwhile
        };
        let on_cpu = text.split_whitespace().next().and_then(|n| n.parse().ok());
        let on_cpu = on_cpu.context("schedstat without a number")?;
        let thread = entry.file_name().to_string_lossy().into_owned();
        threads.insert(thread, Duration::from_nanos(on_cpu));
    }
    Ok(CpuTime(threads))
}

/// Resident memory of `pid` in bytes: `Rss` of `smaps_rollup`, which is exact where `status` may lag behind by
/// pages that each CPU counts for itself.
pub(crate) fn resident_bytes(pid: Pid) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(|rest| rest.split_whitespace().next());
    let kib: u64 = kib
        .and_then(|n| n.parse().ok())
        .with_context(|| format!("{path} without Rss"))?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(times: &[(&str, u64)]) -> CpuTime {
        CpuTime(
            times
                .iter()
                .map(|&(name, ms)| (name.to_owned(), Duration::from_millis(ms)))
                .collect(),
        )
    }

    #[test]
    fn new_threads_count_and_ended_ones_do_not() {
        let before = threads(&[("1", 100), ("2", 50)]);
        let after = threads(&[("1", 110), ("3", 7)]);
        assert_eq!(after.since(&before), Duration::from_millis(17));
    }

    #[test]
    fn this_process_has_used_cpu_and_memory() {
        let own = rustix::process::getpid();
        assert!(!cpu_time(own).unwrap().0.is_empty());
        assert!(resident_bytes(own).unwrap() > 0);
    }
}
