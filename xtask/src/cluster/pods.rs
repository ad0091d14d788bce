//! Ends what pods leave behind when their cluster goes: processes, mounts, sockets.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::daemon::{kill, parent, processes};
use super::machine::{cgroups, output};
use super::state::State;
use super::wait::until;

/// How long the kernel may take to end all of them.
const KILL_TIME: Duration = Duration::from_secs(30);

/// Ends every process of a pod; containerd and the kubelet are gone already, so no new one begins.
pub(crate) fn end(state: &State) -> anyhow::Result<()> {
    let sockets = shim_sockets(state);
    until(KILL_TIME, "the pods' processes to end", || {
        let alive = all(state);
        alive.iter().for_each(|pid| kill(*pid));
        Ok(alive.is_empty().then_some(()))
    })?;
    for socket in sockets {
        // Gone when the shim could still remove it.
        drop(fs::remove_file(socket));
    }
    unmount_below(state.root())
}

/// Shims of this cluster's containerd, all below them, and what is left in the pods' cgroup.
fn all(state: &State) -> HashSet<u32> {
    let address = state.text("containerd/run/containerd.sock");
    let everything = processes();
    let mut found: HashSet<u32> = everything
        .iter()
        .copied()
        .filter(|pid| is_shim(*pid, &address))
        .collect();
    // Each round finds one more generation.
    loop {
        let children: Vec<u32> = everything
            .iter()
            .copied()
            .filter(|pid| !found.contains(pid))
            .filter(|pid| parent(*pid).is_some_and(|parent| found.contains(&parent)))
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    if state.path("changes").exists() {
        // Only then is the cgroup of this cluster: nothing starts where another Kubernetes runs.
        cgroups()
            .iter()
            .for_each(|folder| members(folder, &mut found));
    }
    found
}

fn is_shim(pid: u32, address: &str) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let words: Vec<_> = line.split(|byte| *byte == 0).collect();
    words
        .first()
        .is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"))
        && words.contains(&address.as_bytes())
}

fn members(folder: &Path, found: &mut HashSet<u32>) {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // Zero is a process of another namespace.
    found.extend(
        list.lines()
            .filter_map(|line| line.parse().ok())
            .filter(|pid: &u32| *pid != 0),
    );
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            members(&entry.path(), found);
        }
    }
}

/// Sockets of shims, which lie outside the cluster's folder.
fn shim_sockets(state: &State) -> Vec<PathBuf> {
    let tasks = state.path("containerd/run/io.containerd.runtime.v2.task/k8s.io");
    let entries = fs::read_dir(tasks).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_to_string(entry.path().join("address")).ok())
        .filter_map(|address| address.strip_prefix("unix://").map(PathBuf::from))
        .collect()
}

/// Unmounts everything below a folder, innermost first.
fn unmount_below(folder: &Path) -> anyhow::Result<()> {
    for mount in mounts_below(folder)?.iter().rev() {
        output("umount", &["--lazy", &mount.display().to_string()])?;
    }
    Ok(())
}

/// What is mounted below a folder, in the order of mounting.
pub(crate) fn mounts_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let table = fs::read("/proc/self/mountinfo")?;
    let mounts = table.split(|byte| *byte == b'\n');
    Ok(mounts
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
        .filter(|path| path.starts_with(folder))
        .collect())
}
