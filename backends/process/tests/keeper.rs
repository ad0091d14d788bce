//! What happens to replicas when we, or the keeper, are killed.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{CHILD, Rig, eventually, function, is_running, named, read_pid};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use zeron_core::Backend;

/// A process of its own that runs a back end with three replicas.
struct Parent {
    child: Child,
    replicas: Vec<u32>,
}

impl Parent {
    fn start(state: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(CHILD)
            .arg("parent")
            .arg(state)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let numbers = line.trim().trim_matches(['[', ']']);
        let replicas = numbers
            .split(", ")
            .map(|pid| pid.parse().unwrap())
            .collect();
        Self { child, replicas }
    }

    fn keeper(&self) -> u32 {
        children(self.child.id())
            .find(|pid| is_keeper(*pid))
            .unwrap()
    }
}

fn children(parent: u32) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(move |pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.to_owned());
            fields.unwrap_or_default().split(' ').nth(1) == Some(parent.to_string().as_str())
        })
}

fn is_keeper(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    is_running(pid) && line.ends_with(b"\0keeper\0")
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[test]
fn nothing_is_left_after_the_back_end_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("grandchild");
    let mut parent = Parent::start(dir.path(), &["family", &file.display().to_string()]);
    let (keeper, grandchild) = (parent.keeper(), read_pid(&file));
    let all = [parent.replicas.as_slice(), &[keeper, grandchild]].concat();
    assert!(all.iter().all(|pid| is_running(*pid)));
    parent.child.kill().unwrap();
    parent.child.wait().unwrap();
    eventually("everything is gone", || {
        !all.iter().any(|pid| is_running(*pid))
    });
}

/// Killed while processes are being started: some are not announced yet, some are not born.
#[test]
fn nothing_is_left_after_the_back_end_was_killed_in_the_middle_of_starts() {
    for round in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let marker = dir.path().join("marker").display().to_string();
        let mut parent = Command::new(CHILD)
            .arg("parent")
            .arg(dir.path())
            .args(["burst", &marker])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ours = || running_with(&marker);
        eventually("some run", || ours() > 2 + 2 * round);
        parent.kill().unwrap();
        parent.wait().unwrap();
        eventually("everything is gone", || ours() == 0);
    }
}

/// Running processes that have `word` among their arguments.
fn running_with(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|arg| arg == word.as_bytes())
    };
    pids.filter(|pid| has(pid) && is_running(*pid)).count()
}

#[test]
fn replicas_that_ignore_sigterm_are_killed_after_the_back_end_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Parent::start(dir.path(), &["stubborn"]);
    let keeper = parent.keeper();
    parent.child.kill().unwrap();
    parent.child.wait().unwrap();
    let all = [parent.replicas.as_slice(), &[keeper]].concat();
    eventually("everything is gone", || {
        !all.iter().any(|pid| is_running(*pid))
    });
}

#[test]
fn the_keeper_does_not_follow_signals_that_are_meant_for_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Parent::start(dir.path(), &["serve"]);
    let keeper = parent.keeper();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        kill_process_group(pid(keeper), signal).unwrap();
    }
    parent.child.kill().unwrap();
    parent.child.wait().unwrap();
    let replicas = parent.replicas.clone();
    eventually("everything is gone", || {
        !replicas.iter().any(|pid| is_running(*pid))
    });
}

#[test]
fn a_keeper_that_dies_is_replaced_and_knows_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Parent::start(dir.path(), &["serve"]);
    let (first, owner) = (parent.keeper(), parent.child.id());
    kill_process(pid(first), Signal::KILL).unwrap();
    let second = || children(owner).find(|pid| is_keeper(*pid) && *pid != first);
    eventually("another keeper", || second().is_some());
    parent.child.kill().unwrap();
    parent.child.wait().unwrap();
    let replicas = parent.replicas.clone();
    eventually("everything is gone", || {
        !replicas.iter().any(|pid| is_running(*pid))
    });
}

#[tokio::test]
async fn what_escaped_its_group_is_found_at_the_end() {
    let rig = Rig::new();
    let mut escaping = function(&[]);
    let script = format!("setsid {CHILD} sleep & echo $! > /dev/null; exec {CHILD} serve");
    escaping.workload.command = vec!["sh".to_owned(), "-c".to_owned(), script];
    let (id, _) = rig.up(escaping, 1);
    let replica = rig.pids(&id)[0];
    let session = |number: u32| rustix::process::getsid(Some(pid(number))).ok();
    eventually("a process in a session of its own", || {
        children(replica).any(|child| session(child) == Some(pid(child)))
    });
    let escaped: Vec<u32> = children(replica).collect();
    rig.backend.scale(&id, 0, &[]);
    rig.wait(&id, |s| s.endpoints.is_empty());
    rig.backend
        .shutdown(std::time::Duration::from_secs(1))
        .await;
    assert!(!escaped.iter().any(|pid| is_running(*pid)));
}

#[test]
fn a_dropped_back_end_kills_its_replicas() {
    let rig = Rig::new();
    let (id, _) = rig.up(named("f", &["stubborn"]), 2);
    let pids = rig.pids(&id);
    drop(rig);
    eventually("everything is gone", || {
        !pids.iter().any(|pid| is_running(*pid))
    });
}
