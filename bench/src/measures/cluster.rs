//! What scenarios on a cluster share: its API, its audit log, a namespace of their own, and requests with their times.

pub(crate) mod api;
pub(crate) mod audit;
pub(crate) mod namespace;
pub(crate) mod plain;
pub(crate) mod pods;
pub(crate) mod pressure;
pub(crate) mod request;
pub(crate) mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use self::api::Api;
use self::pressure::Pressure;
use crate::affinity::{Cores, Place};
use crate::bench::{Bench, note};

/// Which cluster, and what of it is known from outside.
#[derive(Clone, Debug, Args)]
pub(crate) struct Access {
    /// Kubeconfig of the cluster [default: $`ZERON_TEST_KUBECONFIG`, else $KUBECONFIG].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The API server's audit log [default: audit.log beside the cluster's certificates].
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// The function's image, which the node must have.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "dev.local/zeron-example-function:test"
    )]
    image: String,
}

/// A cluster that scenarios use.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) api: Api,
    pub(crate) kubeconfig: PathBuf,
    /// The folder of a cluster of `cargo xtask cluster up`.
    pub(crate) state: Option<PathBuf>,
    audit_log: Option<PathBuf>,
    /// The function's.
    pub(crate) image: String,
}

impl Cluster {
    /// Connects by threads that may run anywhere.
    pub(crate) fn connect(cores: &Cores, access: &Access) -> Result<Self> {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let kubeconfig = access
            .kubeconfig
            .clone()
            .or_else(|| named("ZERON_TEST_KUBECONFIG"))
            .or_else(|| named("KUBECONFIG"))
            .context("a cluster needs --kubeconfig FILE, or `cargo xtask cluster up`")?;
        let kubeconfig =
            std::fs::canonicalize(&kubeconfig).with_context(|| kubeconfig.display().to_string())?;
        let before = cores.enter(Place::Anywhere)?;
        let (api, authority) = Api::connect(&kubeconfig)?;
        before.restore()?;
        let beside = authority
            .as_deref()
            .and_then(Path::parent)
            .and_then(Path::parent);
        let found = beside
            .map(|state| state.join("audit.log"))
            .filter(|it| it.is_file());
        Ok(Self {
            api,
            kubeconfig,
            state: found.as_ref().and(beside).map(Path::to_owned),
            audit_log: access.audit_log.clone().or(found),
            image: access.image.clone(),
        })
    }

    /// Where the audit log stands now.
    pub(crate) fn audit(&self) -> Result<audit::Audit> {
        let file = self.audit_log.as_deref();
        audit::Audit::from_now(file.context("no audit log: name it by --audit-log FILE")?)
    }
}

/// A scenario.
pub(crate) type Run<C> = fn(&mut Bench, &C) -> Result<()>;

/// Runs scenarios in turn, whatever became of the earlier ones, and says how busy the machine was.
pub(crate) fn run_all<C>(
    bench: &mut Bench,
    measure: &str,
    context: &C,
    scenarios: &[(&'static str, Run<C>)],
) -> Result<()> {
    // Starting pods is the work: nobody is pinned, neither the client nor the roles.
    let before = bench.cores.enter(Place::Anywhere)?;
    let mut failed = Vec::new();
    for (name, run) in scenarios {
        note(format_args!("== {measure} {name}; {}", load()));
        let pressure = Pressure::begin();
        if let Err(error) = run(bench, context) {
            note(format_args!("{name} failed: {error:#}"));
            failed.push(*name);
        }
        note(format_args!(
            "== {name} ended; {}; somebody waited for a core {:.0} % of the time",
            load(),
            pressure.percent()
        ));
    }
    before.restore()?;
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// What else the machine does.
fn load() -> String {
    let average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minutes: Vec<&str> = average.split_whitespace().take(3).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("load average {} on {cores} cores", minutes.join(" "))
}
