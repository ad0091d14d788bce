//! The one node: containerd, kubelet and kube-proxy, and what each is told.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::control_plane::kubeconfig_name;
use super::daemon::{self, Daemon};
use super::kubectl::Kubectl;
use super::machine::output;
use super::state::State;
use super::wait::until;
use super::{DNS_ADDRESS, NODE_ADDRESS, NODE_NAME, POD_RANGE, Programs};
use crate::{cargo, image};

const CONTAINERD: &str = include_str!("../../../tests/cluster/containerd.toml");
const NETWORK: &str = include_str!("../../../tests/cluster/network.conflist");
const KUBELET: &str = include_str!("../../../tests/cluster/kubelet.yaml");

/// The image of the process that holds a pod's namespaces.
const PAUSE: &str = "dev.local/pause:1";

/// How long each of them may take to begin on a busy machine.
const START_TIME: Duration = Duration::from_secs(60);

/// Starts containerd and gives it the pause image.
pub(crate) fn start_containerd(state: &State, programs: &Programs) -> anyhow::Result<Daemon> {
    let config = state.write("containerd/config.toml", &filled(state, CONTAINERD))?;
    state.write("cni/net.d/10-zeron.conflist", &filled(state, NETWORK))?;
    let arguments = ["--config".to_owned(), config.display().to_string()];
    let containerd = daemon::start(
        state,
        "containerd",
        &programs.find("containerd")?,
        &arguments,
    )?;
    until(START_TIME, "containerd to answer", || {
        containerd.check(state)?;
        Ok(ctr(state, &["version"]).ok())
    })?;
    load(state, &pause(state)?)?;
    Ok(containerd)
}

/// Starts kubelet and kube-proxy and waits until the node is ready.
pub(crate) fn start_kubelet(
    state: &State,
    programs: &Programs,
    kubectl: &Kubectl,
) -> anyhow::Result<Vec<Daemon>> {
    let kubelet = kubelet(state, programs)?;
    let proxy = kube_proxy(state, programs)?;
    until(START_TIME, "the node to be ready", || {
        kubelet.check(state)?;
        proxy.check(state)?;
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let status = kubectl.run(&["get", "node", NODE_NAME, "-o", path]);
        Ok(status.ok().filter(|status| status == "True"))
    })?;
    Ok(vec![kubelet, proxy])
}

fn kubelet(state: &State, programs: &Programs) -> anyhow::Result<Daemon> {
    // No name server and no search domains of this machine: pods ask the cluster's alone.
    state.write("resolv.conf", "")?;
    let config = state.write("kubelet.yaml", &filled(state, KUBELET))?;
    let arguments = [
        format!("--config={}", config.display()),
        format!(
            "--kubeconfig={}",
            state.text(&kubeconfig_name("zeron-test"))
        ),
        format!("--root-dir={}", state.text("kubelet")),
        format!("--hostname-override={NODE_NAME}"),
        format!("--node-ip={NODE_ADDRESS}"),
    ];
    daemon::start(state, "kubelet", &programs.find("kubelet")?, &arguments)
}

fn kube_proxy(state: &State, programs: &Programs) -> anyhow::Result<Daemon> {
    let arguments = [
        format!(
            "--kubeconfig={}",
            state.text(&kubeconfig_name("kube-proxy"))
        ),
        "--proxy-mode=iptables".to_owned(),
        format!("--cluster-cidr={POD_RANGE}"),
        format!("--hostname-override={NODE_NAME}"),
        format!("--nodeport-addresses={NODE_ADDRESS}/32"),
        "--iptables-localhost-nodeports=false".to_owned(),
        format!("--healthz-bind-address={NODE_ADDRESS}:10256"),
        format!("--metrics-bind-address={NODE_ADDRESS}:10249"),
        // Rules that nothing changed are not written anew every 30 s while connections are counted.
        "--iptables-sync-period=1h".to_owned(),
        // The machine's own limits of connection tracking stay as they are.
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-tcp-timeout-established=0".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0".to_owned(),
    ];
    daemon::start(
        state,
        "kube-proxy",
        &programs.find("kube-proxy")?,
        &arguments,
    )
}

/// Gives an image, a docker-archive or OCI tar, to the node's containerd.
pub(crate) fn load(state: &State, archive: &Path) -> anyhow::Result<()> {
    let archive = archive.display().to_string();
    ctr(state, &["images", "import", &archive]).map(drop)
}

fn ctr(state: &State, arguments: &[&str]) -> anyhow::Result<String> {
    let socket = state.text("containerd/run/containerd.sock");
    let common = ["--address", &socket, "--namespace", "k8s.io"];
    output("ctr", &[&common[..], arguments].concat())
}

/// A static program that only waits, alone in an image.
fn pause(state: &State) -> anyhow::Result<std::path::PathBuf> {
    let folder = state.folder("pause")?;
    let program = folder.join("pause");
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args([
            "--edition",
            "2024",
            "-C",
            "opt-level=3",
            "-C",
            "strip=symbols",
        ])
        .args([
            "-C",
            "panic=abort",
            "-C",
            "target-feature=+crt-static",
            "-o",
        ])
        .arg(&program)
        .arg(cargo::root().join("tests/cluster/pause.rs"))
        .status()
        .context("cannot run rustc")?;
    ensure!(
        status.success(),
        "the pause program could not be built ({status})"
    );
    let archive = folder.join("pause.tar");
    let mut image = image::Image::new(PAUSE, "/pause");
    image.add(&program, "/pause");
    image.write(&folder, &archive)?;
    Ok(archive)
}

/// Fills in the places that a template leaves open.
fn filled(state: &State, template: &str) -> String {
    let plugins = ["/usr/lib/cni", "/opt/cni/bin"]
        .into_iter()
        .find(|folder| Path::new(folder).join("ptp").exists())
        .unwrap_or("/usr/lib/cni");
    template
        .replace("@STATE@", &state.root().display().to_string())
        .replace("@PAUSE@", PAUSE)
        .replace("@CNI@", plugins)
        .replace("@SNAPSHOTTER@", snapshotter(state))
        .replace("@NODE@", NODE_ADDRESS)
        .replace("@DNS@", DNS_ADDRESS)
        .replace("@PODS@", POD_RANGE)
}

/// Overlays, or plain copies where the folder's file system carries none (inside a container).
fn snapshotter(state: &State) -> &'static str {
    let folder = state.root().display().to_string();
    match output("stat", &["--file-system", "--format=%T", &folder]) {
        Ok(kind) if kind.trim() == "overlayfs" => "native",
        _ => "overlayfs",
    }
}

/// Results that CNI keeps for each pod outside the cluster's folder.
pub(crate) fn forget_network_results() {
    let entries = fs::read_dir("/var/lib/cni/results")
        .into_iter()
        .flatten()
        .flatten();
    for entry in entries {
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with("zeron-test-"))
        {
            // A file that stays is small and names a pod that nobody asks for.
            drop(fs::remove_file(entry.path()));
        }
    }
}
