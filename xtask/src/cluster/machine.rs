//! What a cluster changes on the machine, noted before each change so that it can be undone after a crash too.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::state::State;
use super::{DNS_ADDRESS, NODE_ADDRESS, POD_RANGE, SERVICE_RANGE, iptables};

/// A bridge without ports: packets to pods and Services that do not exist (yet) end there, on this machine.
const SINK: &str = "zeron0";

/// Priorities of our routing rules.
const RULES: [&str; 3] = ["10244", "10245", "10246"];

/// Settings of the kernel that the kubelet, kube-proxy and the network need or change.
const KERNEL: [&str; 7] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Folders outside the cluster's own that the kubelet, CNI and containerd's shims insist on.
const FOLDERS: [&str; 4] = [
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/lib/cni",
    "/run/containerd",
];

/// The cgroup of all pods.
const PODS: &str = "kubepods";

/// Makes addresses and routes for nodes, Services and pods, before anything dials one of them.
pub(crate) fn prepare(state: &State) -> anyhow::Result<()> {
    refuse_another_kubernetes()?;
    for setting in KERNEL {
        if let Ok(value) = fs::read_to_string(Path::new("/proc/sys").join(setting)) {
            note(state, &format!("kernel {setting} {}", value.trim()))?;
        }
    }
    for folder in FOLDERS {
        if !Path::new(folder).exists() {
            note(state, &format!("folder {folder}"))?;
        }
    }
    note(state, "packet-filter")?;
    note(state, "cgroup")?;
    note(state, "network")?;
    ip(&["link", "add", SINK, "type", "bridge"])?;
    ip(&["link", "set", SINK, "up"])?;
    ip(&["address", "add", &host(NODE_ADDRESS), "dev", "lo"])?;
    for range in [SERVICE_RANGE, POD_RANGE] {
        ip(&["route", "add", range, "dev", SINK, "src", NODE_ADDRESS])?;
    }
    keep_pods_here()?;
    iptables::refuse_unknown_services()?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch forwarding on")
}

/// What pods send goes to pods, Services and this machine's own addresses (which come first), or nowhere: never out by
/// another route of this machine.
fn keep_pods_here() -> anyhow::Result<()> {
    let rule = |priority, rest: &[&str]| {
        let all = ["rule", "add", "priority", priority, "from", POD_RANGE];
        ip(&[&all[..], rest].concat())
    };
    rule(RULES[0], &["to", POD_RANGE, "lookup", "main"])?;
    rule(RULES[1], &["to", SERVICE_RANGE, "lookup", "main"])?;
    rule(RULES[2], &["unreachable"])
}

/// Two kubelets or kube-proxies on one machine would destroy each other's work.
fn refuse_another_kubernetes() -> anyhow::Result<()> {
    ensure!(
        !iptables::has_chains()? && !cgroups().iter().any(|folder| folder.exists()),
        "this machine runs a Kubernetes already (packet filter or cgroup of one): give its kubeconfig instead (ZERON_TEST_KUBECONFIG)"
    );
    Ok(())
}

/// Undoes every noted change. Each is tried, also when one before failed.
pub(crate) fn restore(state: &State) -> anyhow::Result<()> {
    let journal = state.path("changes");
    let Ok(notes) = fs::read_to_string(&journal) else {
        return Ok(());
    };
    let mut failures = Vec::new();
    for line in notes.lines().rev() {
        if let Err(error) = undo(line) {
            failures.push(format!("{line}: {error:#}"));
        }
    }
    if !failures.is_empty() {
        bail!("could not undo:\n{}", failures.join("\n"));
    }
    fs::remove_file(&journal).with_context(|| format!("cannot remove {}", journal.display()))
}

fn undo(line: &str) -> anyhow::Result<()> {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("network"), ..) => remove_network(),
        (Some("packet-filter"), ..) => iptables::remove_chains(),
        (Some("cgroup"), ..) => cgroups()
            .iter()
            .try_for_each(|folder| remove_cgroup(folder)),
        (Some("folder"), Some(folder), None) => remove_folder(Path::new(folder)),
        (Some("kernel"), Some(setting), Some(value)) => {
            let path = Path::new("/proc/sys").join(setting);
            if fs::read_to_string(&path)?.trim() != value {
                fs::write(&path, value)?;
            }
            Ok(())
        }
        _ => bail!("not a note of ours"),
    }
}

fn remove_network() -> anyhow::Result<()> {
    for priority in RULES {
        if output("ip", &["rule", "list", "priority", priority])?.contains(POD_RANGE) {
            ip(&["rule", "del", "priority", priority])?;
        }
    }
    let addresses = output("ip", &["address", "show", "dev", "lo"])?;
    for address in [NODE_ADDRESS, DNS_ADDRESS] {
        if addresses.contains(&format!(" {}", host(address))) {
            ip(&["address", "del", &host(address), "dev", "lo"])?;
        }
    }
    if Path::new("/sys/class/net").join(SINK).exists() {
        ip(&["link", "del", SINK])?;
    }
    Ok(())
}

/// The cgroup of pods, in every hierarchy of version 1 or the one of version 2.
pub(crate) fn cgroups() -> Vec<std::path::PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    let mut found: Vec<_> = hierarchies
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path().join(PODS))
        .collect();
    found.push(root.join(PODS));
    found.retain(|folder| folder.exists());
    found
}

/// Removes a cgroup and those below it; files in it are the kernel's.
fn remove_cgroup(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    if super::pods::mounts_below(folder)?.is_empty() && folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// Notes a change that is about to be made.
fn note(state: &State, line: &str) -> anyhow::Result<()> {
    let path = state.path("changes");
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(file, "{line}")?;
    Ok(file.sync_all()?)
}

fn host(address: &str) -> String {
    format!("{address}/32")
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    output("ip", arguments).map(drop)
}

/// What a program printed; an error with what it complained of when it failed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", super::daemon::system_path())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
