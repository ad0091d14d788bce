//! What the keeper process does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

use super::procfs;

/// Longest announcement, far above what is ever sent.
const MAX_LINE: usize = 8 << 10;
/// Between two looks at whether processes are gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often what is left is killed before it is given up.
const KILL_ROUNDS: usize = 50;

/// Runs the keeper: waits for the end of standard input, then ends everything announced on it.
///
/// For the hidden mode of the program named in [`KeeperCommand`](crate::KeeperCommand); never
/// returns before its parent is gone or has closed the pipe.
pub fn keeper_main() -> ExitCode {
    let _signals = survive_signals();
    // Its own session, so that a closed terminal does not reach it. Fails for a group leader,
    // which is what it was started as; a group of its own is enough then.
    rustix::process::setsid().ok();
    let mut charge = Charge::default();
    if charge.listen(&mut io::stdin().lock()).is_err() {
        // The pipe is broken: the same as its end.
    }
    charge.sweep();
    ExitCode::SUCCESS
}

/// Replaces the default action of signals that are meant for the whole service: a keeper that
/// obeys them would be gone when it is needed. SIGKILL remains.
fn survive_signals() -> io::Result<(tokio::runtime::Runtime, Vec<tokio::signal::unix::Signal>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let kinds = [
        SignalKind::hangup(),
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::terminate(),
    ];
    let signals = {
        let _context = runtime.enter();
        kinds.into_iter().map(signal).collect::<io::Result<_>>()?
    };
    Ok((runtime, signals))
}

/// What the keeper is in charge of.
#[derive(Debug, Default)]
struct Charge {
    token: String,
    grace: Duration,
    /// Process groups and when their leaders started.
    groups: BTreeMap<u32, u64>,
    cgroups: Vec<PathBuf>,
}

impl Charge {
    fn listen(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = io::Read::take(&mut *input, MAX_LINE as u64);
            if limited.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.note(String::from_utf8_lossy(&line).trim_end());
        }
    }

    fn note(&mut self, line: &str) {
        if let Some(group) = line.strip_prefix('-').and_then(|g| g.parse().ok()) {
            self.groups.remove(&group);
        } else if let Some((group, start)) = line.strip_prefix('+').and_then(|l| l.split_once(' '))
        {
            if let (Ok(group), Ok(start)) = (group.parse(), start.parse()) {
                self.groups.insert(group, start);
            }
        } else if let Some(token) = line.strip_prefix("token ") {
            token.clone_into(&mut self.token);
        } else if let Some(millis) = line.strip_prefix("grace ") {
            self.grace = Duration::from_millis(millis.parse().unwrap_or_default());
        } else if let Some(dir) = line.strip_prefix("cgroup ") {
            self.cgroups.push(dir.into());
        }
    }

    /// Ends what is left: SIGTERM, the grace time, SIGKILL until nothing runs any more.
    fn sweep(&mut self) {
        // A group whose leader is another process now was given up and its number used again.
        self.groups
            .retain(|group, start| procfs::start_time(*group).is_none_or(|now| now == *start));
        self.signal(&self.left(), Signal::TERM);
        let deadline = Instant::now() + self.grace;
        while !self.left().is_empty() && Instant::now() < deadline {
            std::thread::park_timeout(LOOK_EVERY);
        }
        for _ in 0..KILL_ROUNDS {
            let left = self.left();
            if left.is_empty() {
                break;
            }
            self.signal(&left, Signal::KILL);
            std::thread::park_timeout(LOOK_EVERY);
        }
        for dir in &self.cgroups {
            remove_cgroup(dir);
        }
    }

    /// Running processes of ours: of announced groups, or started with our token.
    fn left(&self) -> BTreeSet<u32> {
        let groups: Vec<u32> = self.groups.keys().copied().collect();
        let mut left = BTreeSet::new();
        if !groups.is_empty() {
            left.extend(procfs::in_groups(&groups));
        }
        if !self.token.is_empty() {
            left.extend(procfs::with_token(&self.token));
        }
        left.remove(&std::process::id());
        left
    }

    /// Whole groups where they are ours, so that nothing slips through by forking; else processes.
    fn signal(&self, pids: &BTreeSet<u32>, signal: Signal) {
        let mut groups = BTreeSet::new();
        for &pid in pids {
            match procfs::group(pid) {
                Some(group) if self.groups.contains_key(&group) => {
                    groups.insert(group);
                }
                _ => {
                    if let Some(pid) = to_pid(pid) {
                        // It may have ended meanwhile.
                        kill_process(pid, signal).ok();
                    }
                }
            }
        }
        for group in groups.into_iter().filter_map(to_pid) {
            kill_process_group(group, signal).ok();
        }
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// A group and those directly below it; there are no deeper ones unless a replica made them.
fn remove_cgroup(dir: &std::path::Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            fs::remove_dir(entry.path()).ok();
        }
    }
    fs::remove_dir(dir).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_noted_and_nonsense_is_not() {
        let mut charge = Charge::default();
        let text = "token abc\ngrace 1500\n+10 7\n+11 8\n-10\n+x y\nnonsense\ncgroup /a b\n+12";
        assert!(charge.listen(&mut text.as_bytes()).is_ok());
        assert_eq!(charge.token, "abc");
        assert_eq!(charge.grace, Duration::from_millis(1500));
        assert_eq!(charge.groups, BTreeMap::from([(11, 8)]));
        assert_eq!(charge.cgroups, [PathBuf::from("/a b")]);
    }
}
