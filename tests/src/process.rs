//! Processes by their ids: alive, how large, signals.

use std::fs;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::until;

/// Whether any of its threads runs; one that ended and was not waited for does not.
pub fn is_alive(pid: u32) -> bool {
    states(pid).any(|state| !matches!(state, None | Some('Z' | 'X')))
}

/// What its threads do; none where it is gone.
fn states(pid: u32) -> impl Iterator<Item = Option<char>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads.map(|thread| state(&thread.path().to_string_lossy()))
}

/// The letter for what a process or a thread does.
fn state(folder: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    // The name stands in brackets and may hold spaces; the state follows.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

/// Waits until a process that was told to stop does nothing any more: each of its threads stops on its own, a moment later.
///
/// # Panics
/// When one does not.
pub fn wait_stopped(pid: u32) {
    until(&format!("every thread of {pid} to have stopped"), || {
        // One that is gone does nothing.
        states(pid)
            .all(|state| matches!(state, None | Some('T' | 't' | 'Z' | 'X')))
            .then_some(())
    });
}

/// Resident memory in bytes.
///
/// # Panics
/// When the process is gone.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a running process has a size") * 1024
}

/// Time on processors since it began, in clock ticks (hundredths of a second on Linux).
///
/// # Panics
/// When the process is gone.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("the name is in brackets");
    let mut fields = fields
        .split_whitespace()
        .skip(11)
        .map(|n| n.parse::<u64>().unwrap_or(0));
    fields.next().unwrap_or(0) + fields.next().unwrap_or(0)
}

/// Children of a process, and theirs.
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|child| Some((child, parent(child)?)))
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(child, _)| *child),
        );
        next += 1;
    }
    found.split_off(1)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// Sends a signal. One to a process that is gone has no effect; one that is told to stop has stopped when this returns.
pub fn signal(pid: u32, signal: Signal) {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let sent = target.map(|pid| kill_process(pid, signal));
    debug_assert!(sent.is_some(), "{pid} is no process id");
    if signal == Signal::STOP && matches!(sent, Some(Ok(()))) {
        wait_stopped(pid);
    }
}

/// The process of a pod that runs this program, once it does.
///
/// # Panics
/// After half a minute.
pub fn of_pod(pod: &Value, program: &str) -> u32 {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let folder = format!("/pod{uid}/");
    until(&format!("{program} to run in {folder}"), || {
        let entries = fs::read_dir("/proc").ok()?.flatten();
        let mut ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.find(|id: &u32| {
            let read = |file: &str| fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
            let line = read("cmdline");
            line.split(|byte| *byte == 0).next() == Some(program.as_bytes())
                && String::from_utf8_lossy(&read("cgroup")).contains(&folder)
        })
    })
}
