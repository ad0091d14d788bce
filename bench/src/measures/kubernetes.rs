//! The same engine on a cluster: its own share of a cold start, many cold starts at once, Kafka, rest and start-up.
//!
//! The roles run as processes of this machine against the cluster of the kubeconfig, and act on a namespace of the
//! bench's own alone. What the API server saw, and when, is read from its audit log: one clock for all.

mod api;
mod audit;
mod cold_start;
mod counting;
mod idle;
mod kafka;
mod many;
mod namespace;
mod objects;
mod pods;
mod pressure;
mod request;
mod roles;
mod start_up;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use self::api::Api;
use self::namespace::Namespace;
use self::pressure::Pressure;
use crate::affinity::Place;
use crate::bench::{Bench, note};

const MEASURE: &str = "kubernetes";

/// What to measure, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The scenario.
    #[arg(value_enum, default_value_t = Scenario::All)]
    scenario: Scenario,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Zeron's own share of a cold start, and the whole against a Deployment patched by hand.
    ColdStart,
    /// 10, 25 and 100 functions at zero, hit at once.
    Many,
    /// From a backlog to ten replicas.
    Kafka,
    /// 1,000 and 5,000 functions at zero, then `start-up` with them.
    Idle,
    /// Until ready, with 5,000 functions.
    StartUp,
    /// All of them.
    All,
}

/// What all scenarios share.
#[derive(Debug)]
struct Cluster {
    api: Api,
    kubeconfig: PathBuf,
    audit_log: Option<PathBuf>,
    image: String,
}

impl Cluster {
    fn connect(options: &Options) -> Result<Self> {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let kubeconfig = options
            .kubeconfig
            .clone()
            .or_else(|| named("ZERON_TEST_KUBECONFIG"))
            .or_else(|| named("KUBECONFIG"))
            .context("kubernetes needs --kubeconfig FILE, or `cargo xtask cluster up`")?;
        let kubeconfig =
            std::fs::canonicalize(&kubeconfig).with_context(|| kubeconfig.display().to_string())?;
        let (api, authority) = Api::connect(&kubeconfig)?;
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
            audit_log: options.audit_log.clone().or(found),
            image: options.image.clone(),
        })
    }

    /// Where the audit log stands now.
    fn audit(&self) -> Result<audit::Audit> {
        let file = self.audit_log.as_deref();
        audit::Audit::from_now(file.context("no audit log: name it by --audit-log FILE")?)
    }
}

type Run = fn(&mut Bench, &Cluster) -> Result<()>;

/// Measures what `options` name.
pub(super) fn run(bench: &mut Bench, options: &Options) -> Result<()> {
    let scenarios: [(Scenario, &str, Run); 5] = [
        (Scenario::ColdStart, "cold-start", cold_start::run),
        (Scenario::Many, "many", many::run),
        (Scenario::Idle, "idle", idle::run),
        (Scenario::StartUp, "start-up", start_up::run),
        (Scenario::Kafka, "kafka", kafka::run),
    ];
    // Starting pods is the work: nobody is pinned, neither the client nor the roles.
    let before = bench.cores.enter(Place::Anywhere)?;
    let cluster = Cluster::connect(options)?;
    let mut failed = Vec::new();
    for (scenario, name, run) in scenarios {
        let is_asked = match options.scenario {
            // `idle` ends with it.
            Scenario::All => scenario != Scenario::StartUp,
            asked => asked == scenario,
        };
        if !is_asked {
            continue;
        }
        note(format_args!("== kubernetes {name}; {}", load()));
        let pressure = Pressure::begin();
        if let Err(error) = run(bench, &cluster) {
            note(format_args!("{name} failed: {error:#}"));
            failed.push(name);
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
