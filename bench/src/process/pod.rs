//! Processes of pods that run on this machine.

use std::path::Path;

use anyhow::Result;
use rustix::process::Pid;

/// The one process of the pod with this uid, besides the one that only holds its network.
pub(crate) fn process_of_pod(uid: &str) -> Result<Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = number.and_then(Pid::from_raw)
            && is_in(&entry.path(), uid)
        {
            found.push(pid);
        }
    }
    match found[..] {
        [pid] => Ok(pid),
        [] => anyhow::bail!("pod {uid} has no process on this machine"),
        _ => anyhow::bail!("pod {uid} has {} processes", found.len()),
    }
}

/// Whether a process runs in a container of the pod; one that ended meanwhile does not.
fn is_in(process: &Path, uid: &str) -> bool {
    let read = |file: &str| std::fs::read_to_string(process.join(file));
    read("cgroup").is_ok_and(|groups| names(&groups, uid))
        && read("comm").is_ok_and(|name| name.trim_end() != "pause")
}

/// Drivers of cgroups write uids with dashes or with underscores.
fn names(groups: &str, uid: &str) -> bool {
    groups.contains(&format!("pod{uid}"))
        || groups.contains(&format!("pod{}", uid.replace('-', "_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_found_in_the_paths_of_both_drivers() {
        let uid = "4940527a-872a-4f8d";
        for groups in [
            "9:cpu:/kubepods/burstable/pod4940527a-872a-4f8d/cc21\n",
            "0::/kubepods.slice/kubepods-pod4940527a_872a_4f8d.slice/cri-cc21.scope\n",
        ] {
            assert!(names(groups, uid));
        }
        assert!(!names("0::/user.slice\n", uid));
    }
}
