//! A real single-node Kubernetes of this machine, without Docker: brought up, looked at, taken down.
//!
//! Everything listens on loopback or on addresses of this machine alone, and no packet of it leaves by a default route.

mod background;
mod control_plane;
mod daemon;
mod dns;
mod go;
mod iptables;
mod keda;
mod knative;
mod kubectl;
mod machine;
mod node;
mod pods;
mod programs;
mod session;
mod state;
mod wait;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;

use crate::steps::Steps;
use crate::{apt, cargo};
use kubectl::Kubectl;
use programs::Programs;
pub(crate) use session::{Preparation, Session, is_too_early};
use state::State;

/// The node's name.
const NODE_NAME: &str = "zeron-test";
/// The node's address, on the loopback interface: a node must have one that is not 127.0.0.1.
const NODE_ADDRESS: &str = "10.95.0.1";
/// Addresses of Services.
const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The Service of the name server.
const DNS_ADDRESS: &str = "10.96.0.10";
/// Addresses of pods.
const POD_RANGE: &str = "10.244.0.0/16";

/// Names the kubeconfig of a cluster that is there already.
pub(crate) const KUBECONFIG: &str = "ZERON_TEST_KUBECONFIG";

/// Names an external scaler of somebody else's to tests.
pub(crate) const SCALER: &str = "ZERON_TEST_EXTERNAL_SCALER";

/// Names Helm to tests.
pub(crate) const HELM: &str = "ZERON_TEST_HELM";

/// How much of a cluster there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// A node that runs pods.
    Full,
    /// etcd and kube-apiserver.
    ApiOnly,
}

/// What can be done with a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Builds what is missing, starts everything and waits until the node is ready.
    Up {
        /// Only etcd and kube-apiserver; needs no root.
        #[arg(long)]
        api_only: bool,
        /// Leaves the controllers' own limits of requests to the API server as they are.
        #[arg(long)]
        default_rates: bool,
        /// Uses this existing cluster: nothing is started.
        #[arg(long, env = KUBECONFIG)]
        kubeconfig: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Ends what `up` started and undoes what it changed on the machine.
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Which processes run, and whether the node is ready.
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Gives images (docker-archive or OCI tar) to the node.
    Load {
        /// The images.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Prints the path of the kubeconfig.
    Kubeconfig {
        #[command(flatten)]
        place: Place,
    },
    /// Builds KEDA, for tests and measurements that need it, and prints where it is.
    Keda {
        /// Its metrics adapter, too.
        #[arg(long)]
        adapter: bool,
    },
    /// Builds KEDA's HTTP add-on, for tests that take over from it, and prints where it is.
    HttpAddOn,
    /// Builds an external scaler as others write one, for tests that call it, and prints where it is.
    Scaler,
    /// Builds Helm, for tests of the chart, and prints where it is.
    Helm,
    /// Knative Serving itself, for tests and measurements inside it.
    Knative {
        #[command(subcommand)]
        action: knative::Action,
    },
    /// Builds and installs what a cluster needs, and starts nothing.
    Build {
        /// Only for etcd and kube-apiserver.
        #[arg(long)]
        api_only: bool,
    },
}

/// Which cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The cluster's folder [default: that of the running cluster, else target/cluster].
    #[arg(long = "state", value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> anyhow::Result<State> {
        match &self.folder {
            Some(folder) => State::open(folder),
            None => match state::claimed() {
                Some(state) => Ok(state),
                None => State::open(&default_folder()),
            },
        }
    }
}

/// The folder of a cluster that nobody gave one.
fn default_folder() -> PathBuf {
    let folder = cargo::target().join("cluster");
    if folder.as_os_str().len() <= state::LONGEST {
        return folder;
    }
    go::cache().join("state")
}

/// Of a cluster that somebody gave: whether it is one is found out by whoever uses it.
fn ensure_readable(kubeconfig: &Path) -> anyhow::Result<()> {
    let opened = std::fs::File::open(kubeconfig).map(drop);
    opened.with_context(|| {
        format!(
            "the kubeconfig {} (--kubeconfig, {KUBECONFIG})",
            kubeconfig.display()
        )
    })
}

/// Does what was asked for.
pub(crate) fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Up {
            kubeconfig: Some(kubeconfig),
            ..
        } => {
            ensure_readable(&kubeconfig)?;
            println!(
                "== the cluster of {} is used; nothing is started",
                kubeconfig.display()
            );
            Ok(())
        }
        Action::Up {
            api_only,
            default_rates,
            kubeconfig: None,
            place,
        } => {
            let mode = if api_only { Mode::ApiOnly } else { possible() };
            up(&place.open()?, mode, default_rates).map(drop)
        }
        Action::Down { place } => {
            let state = place.open()?;
            let lock = state.lock()?;
            down(&state)?;
            println!(
                "== the cluster in {} is down; its logs are kept",
                state.root().display()
            );
            drop(lock);
            Ok(())
        }
        Action::Status { place } => status(&place.open()?),
        Action::Load { archives, place } => {
            let state = place.open()?;
            archives
                .iter()
                .try_for_each(|archive| node::load(&state, archive))
        }
        Action::Kubeconfig { place } => {
            let file = place.open()?.path("kubeconfig");
            ensure!(file.exists(), "no cluster is up");
            println!("{}", file.display());
            Ok(())
        }
        Action::Keda { adapter } => keda::run(adapter),
        Action::HttpAddOn => keda::run_http_add_on(),
        Action::Scaler => {
            let program = go::SCALER.build()?.join("scaler");
            println!("{SCALER}={}", program.display());
            Ok(())
        }
        Action::Helm => {
            println!("{HELM}={}", helm()?.display());
            Ok(())
        }
        Action::Knative { action } => knative::run(&action),
        Action::Build { api_only } => {
            let mode = if api_only { Mode::ApiOnly } else { possible() };
            Programs::prepare(mode).map(drop)
        }
    }
}

/// The program.
fn helm() -> anyhow::Result<PathBuf> {
    Ok(go::HELM.build()?.join("helm"))
}

/// Gives an image to the running cluster of this machine.
pub(crate) fn load(archive: &Path) -> anyhow::Result<()> {
    let state = state::claimed().context("no test cluster is up on this machine")?;
    node::load(&state, archive)
}

/// How much of a cluster this user can have here; what is left out is said.
pub(crate) fn possible() -> Mode {
    if apt::is_root() {
        return Mode::Full;
    }
    println!(
        "== not root: SKIPPED kube-controller-manager, kube-scheduler, containerd, kubelet, kube-proxy, name server; only etcd and kube-apiserver are started"
    );
    Mode::ApiOnly
}

/// Brings a cluster up, unless it is, and returns its kubeconfig.
pub(crate) fn up(state: &State, mode: Mode, has_default_rates: bool) -> anyhow::Result<PathBuf> {
    let lock = state.lock()?;
    let kubeconfig = state.path("kubeconfig");
    if is_whole(state, mode) {
        println!("== the cluster in {} is up already", state.root().display());
        return Ok(kubeconfig);
    }
    let mut step = Steps::begin();
    let programs = Programs::prepare(mode)?;
    step.done("programs");
    down(state)?;
    step.done("remains of an earlier run");
    let result = start(state, &programs, mode, has_default_rates, &mut step);
    if result.is_err() {
        // What began is ended; the first error is the one to report.
        drop(down(state));
    }
    result?;
    state.write(
        "mode",
        if mode == Mode::Full {
            "full"
        } else {
            "api-only"
        },
    )?;
    drop(lock);
    println!(
        "== up: export {KUBECONFIG}={0}  (KUBECONFIG={0} for kubectl)",
        kubeconfig.display()
    );
    Ok(kubeconfig)
}

fn start(
    state: &State,
    programs: &Programs,
    mode: Mode,
    has_default_rates: bool,
    step: &mut Steps,
) -> anyhow::Result<()> {
    if mode == Mode::Full {
        state.claim()?;
        machine::prepare(state)?;
        step.done("addresses and routes");
    }
    let kubectl = control_plane::start_api(state, programs, mode)?;
    link_kubectl(state, programs)?;
    step.done("etcd, kube-apiserver");
    if mode == Mode::ApiOnly {
        return Ok(());
    }
    let mut daemons = vec![node::start_containerd(state, programs)?];
    step.done("containerd, pause image");
    daemons.extend(control_plane::start_controllers(
        state,
        programs,
        has_default_rates,
    )?);
    if has_default_rates {
        println!("== kube-controller-manager: its own limits (20 requests a second)");
    } else {
        println!(
            "== kube-controller-manager: limit of requests raised to 500 a second (--default-rates leaves it)"
        );
    }
    daemons.extend(node::start_kubelet(state, programs, &kubectl)?);
    step.done("kube-controller-manager, kube-scheduler, kube-proxy, kubelet: node ready");
    daemons.push(dns::start(state, programs, &kubectl)?);
    step.done("name server");
    daemons.iter().try_for_each(|daemon| daemon.check(state))
}

/// Puts kubectl where people and tests find it.
fn link_kubectl(state: &State, programs: &Programs) -> anyhow::Result<()> {
    let link = state.folder("bin")?.join("kubectl");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(programs.find("kubectl")?, link).context("cannot link kubectl")
}

/// Whether every process of it runs and it is as much as is wanted.
fn is_whole(state: &State, mode: Mode) -> bool {
    let daemons = daemon::all(state);
    let is_full = fs::read_to_string(state.path("mode")).is_ok_and(|mode| mode == "full");
    !daemons.is_empty()
        && daemons.iter().all(daemon::Daemon::is_alive)
        && state.path("mode").exists()
        && (is_full || mode == Mode::ApiOnly)
}

/// Ends every process of a cluster, running or crashed, and undoes what it changed. Its logs stay.
pub(crate) fn down(state: &State) -> anyhow::Result<()> {
    // Those first that would start others anew.
    const FIRST: [&str; 3] = ["kubelet", "kube-proxy", "containerd"];
    let mut daemons = daemon::all(state);
    daemons.sort_by_key(|daemon| !FIRST.contains(&daemon.name.as_str()));
    daemons.iter().try_for_each(daemon::Daemon::end)?;
    pods::end(state)?;
    // Without a node of its own, those of the machine's cluster stay.
    if state.path("changes").exists() {
        node::forget_network_results();
    }
    machine::restore(state)?;
    state.release();
    clear(state.root())
}

/// Removes everything of a cluster's folder but logs, in which nothing is mounted any more.
fn clear(root: &Path) -> anyhow::Result<()> {
    const MADE: [&str; 17] = [
        "mode",
        "kubeconfig",
        "kubeconfigs",
        "certificates",
        "tokens.csv",
        "etcd",
        "containerd",
        "cni",
        "kubelet",
        "kubelet.yaml",
        "resolv.conf",
        "pod-logs",
        "volume-plugins",
        "pause",
        "images",
        "Corefile",
        "audit-policy.yaml",
    ];
    ensure!(
        pods::mounts_below(root)?.is_empty(),
        "something is still mounted in {}",
        root.display()
    );
    for part in MADE {
        let path = root.join(part);
        let result = match path.symlink_metadata() {
            Err(_) => continue,
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
        };
        result.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn status(state: &State) -> anyhow::Result<()> {
    let daemons = daemon::all(state);
    if daemons.is_empty() {
        println!("no cluster in {}", state.root().display());
        return Ok(());
    }
    for daemon in &daemons {
        let health = if daemon.is_alive() { "runs" } else { "ENDED" };
        let log = state.text(&format!("logs/{}.log", daemon.name));
        println!("{:<24} {health:<6} {:>8}  {log}", daemon.name, daemon.pid);
    }
    let kubectl = Kubectl::of(state);
    print!("{}", kubectl.run(&["get", "nodes"])?);
    println!("kubeconfig {}", state.text("kubeconfig"));
    Ok(())
}
