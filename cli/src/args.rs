//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use zeron_activator::{Config, TlsListener};

use crate::address::AdminAddress;
use crate::cluster::args::{ActivatorArgs, AutoscalerArgs, ControllerArgs};
use crate::command::{
    CheckArgs, CrdsArgs, GrantArgs, HandbackArgs, ImportArgs, ScalersArgs, SwapArgs,
};

/// Where `up` serves the admin API and every other command looks for it.
pub(crate) const DEFAULT_ADMIN: &str = "http://127.0.0.1:8081";

/// Functions that wake from zero and follow the load.
#[derive(Debug, Parser)]
#[command(
    name = "zeron",
    version,
    about,
    max_term_width = 100,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Admin API of a running zeron: http://HOST:PORT or unix:PATH [default: http://127.0.0.1:8081]
    #[arg(long, global = true, value_name = "ADDRESS", env = "ZERON_ADMIN")]
    pub(crate) admin: Option<AdminAddress>,
    /// It was given on the command line, not by the environment.
    #[arg(skip)]
    pub(crate) is_admin_given: bool,
    /// File with the bearer token of the admin API
    #[arg(long, global = true, value_name = "FILE", env = "ZERON_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Namespace [default: all of them; where a cluster is asked, that of the kubeconfig's context]
    #[arg(short, long, global = true)]
    pub(crate) namespace: Option<String>,
    /// How to print
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    /// When to use colour; never in pipes or with NO_COLOR, unless `always`
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub(crate) color: ColorChoice,
}

impl Cli {
    /// Reads a command line.
    pub(crate) fn read(
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(args)?;
        let read = Self::from_arg_matches(&matches);
        let mut cli = read.map_err(|error| error.format(&mut command))?;
        let source = matches.value_source("admin");
        cli.global.is_admin_given = source == Some(ValueSource::CommandLine);
        Ok(cli)
    }
}

impl GlobalArgs {
    /// Where the admin API is, unless a cluster is asked.
    pub(crate) fn admin(&self) -> AdminAddress {
        let default = || DEFAULT_ADMIN.parse().expect("the default is an address");
        self.admin.clone().unwrap_or_else(default)
    }
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns or sentences for people.
    Table,
    /// The same with more columns.
    Wide,
    /// The admin API's JSON.
    Json,
    /// The same as YAML.
    Yaml,
}

/// When colour is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// In pipes too.
    Always,
    /// Not at all.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the functions of manifests on this machine
    Up(Box<UpArgs>),
    /// Serve requests of a cluster's functions
    Activator(Box<ActivatorArgs>),
    /// Decide how many replicas a cluster's functions have
    Autoscaler(Box<AutoscalerArgs>),
    /// Keep a cluster's objects in order: webhooks, finalizers, Services
    Controller(Box<ControllerArgs>),
    /// List functions
    Ls(LsArgs),
    /// Show everything known of one function
    Describe(NameArgs),
    /// Say in words why a function has the replicas it has
    Why(NameArgs),
    /// List the decisions made for a function, oldest first
    Timeline(TimelineArgs),
    /// Print what a function's replicas wrote
    Logs(LogsArgs),
    /// Add or replace objects in a running zeron; they survive a restart
    Apply(ApplyArgs),
    /// Delete objects that were applied
    Delete(DeleteArgs),
    /// Check manifests without running anything
    Validate(ValidateArgs),
    /// Replay a load against a scaling policy, in simulated time
    Simulate(SimulateArgs),
    /// List the trigger types that are built in, or the parameters of one
    Scalers(ScalersArgs),
    /// Print the CustomResourceDefinitions of all kinds that are understood
    Crds(CrdsArgs),
    /// Say what is missing in a cluster, with a hint for each; exit code 1 when something is wrong
    Check(CheckArgs),
    /// Print or apply what lets zeron read Secrets of a namespace, or wake functions there
    Grant(GrantArgs),
    /// Take over the objects of KEDA or its HTTP add-on; without --apply only say what differs
    Import(ImportArgs),
    /// Give objects back to KEDA or its HTTP add-on; without --apply only say how
    Handback(HandbackArgs),
    /// Put zeron in the place of parts of Knative Serving, or put those back
    Swap(SwapArgs),
    /// Print a completion script
    Completion(CompletionArgs),
    /// Print the version
    Version,
}

/// Arguments of `up`.
#[derive(Clone, Debug, Args)]
pub(crate) struct UpArgs {
    /// Manifests: files, folders, or `-` for standard input; none: only what was applied
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Address for requests, HTTP/1.1 and h2c
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Address of the admin API: HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub(crate) admin_listen: AdminAddress,
    /// File with the bearer token that admin requests must show; required off loopback
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Folder for what survives a restart [default: $XDG_STATE_HOME/zeron]
    #[arg(long, value_name = "DIR", env = "ZERON_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Folder of the files that `filePath` of a ClusterTriggerAuthentication names; none: they are not read
    #[arg(long, value_name = "DIR", env = "ZERON_FILEPATH_AUTH_ROOT_PATH")]
    pub(crate) filepath_auth_root_path: Option<PathBuf>,
    /// Domain of the functions' host names
    #[arg(long, default_value = "localhost")]
    pub(crate) domain: String,
    /// Refuse manifests that have warnings
    #[arg(long)]
    pub(crate) strict: bool,
    /// Do not follow changes of the manifests
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// How long requests in flight may take after SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) drain_grace: Duration,
    /// How to write the log
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Log more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How requests are taken, on one machine and in a cluster alike.
#[derive(Clone, Debug, Args)]
pub(crate) struct RequestArgs {
    /// Address for requests over TLS
    #[arg(long, value_name = "ADDRESS", requires_all = ["tls_cert", "tls_key"])]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    pub(crate) tls_key: Option<PathBuf>,
    /// One line per request on standard error
    #[arg(long)]
    pub(crate) access_log: bool,
    /// Connections begin with a PROXY protocol header (v1 or v2)
    #[arg(long)]
    pub(crate) proxy_protocol: bool,
    /// Networks whose forwarded headers are believed
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) trusted_proxy: Vec<IpNet>,
    /// Threads for requests [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
}

impl RequestArgs {
    /// The settings of a data plane that listens on `listen`.
    pub(crate) fn config(&self, listen: SocketAddr) -> Config {
        let tls = match (self.tls_listen, &self.tls_cert, &self.tls_key) {
            (Some(address), Some(certificate), Some(key)) => Some(TlsListener {
                address,
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            _ => None,
        };
        let workers = self.workers.and_then(|n| NonZeroUsize::new(n.into()));
        let default = Config::default();
        Config {
            listeners: vec![listen],
            tls,
            workers: workers.unwrap_or(default.workers),
            trusted_proxies: self.trusted_proxy.clone(),
            proxy_protocol: self.proxy_protocol,
            access_log: self.access_log,
            ..default
        }
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Arguments of `ls`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LsArgs {
    /// Also revisions that have neither traffic nor replicas
    #[arg(short, long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) cluster: WhichCluster,
}

/// A cluster that is asked instead of one zeron.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "In a cluster")]
pub(crate) struct WhichCluster {
    /// Ask the cluster of this kubeconfig [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Ask the cluster of this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Functions of all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Ask the cluster whose autoscalers are in this namespace [default: zeron-system]
    #[arg(long, value_name = "NAMESPACE", value_parser = crate::check::namespace)]
    pub(crate) zeron_namespace: Option<String>,
}

/// One function, as a person names it.
#[derive(Clone, Debug, Args)]
pub(crate) struct NameArgs {
    /// Service, Deployment or revision; KIND/NAME where several have the name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) cluster: WhichCluster,
}

/// Arguments of `timeline`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TimelineArgs {
    /// Also decisions that changed nothing
    #[arg(short, long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) name: NameArgs,
}

/// Arguments of `logs`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogsArgs {
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines of each replica
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u32>,
    /// Only this replica: its name, or what follows the last `-` in it
    #[arg(long, value_name = "NAME")]
    pub(crate) replica: Option<String>,
    /// Begin lines with the time they were written
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Of this container of a cluster's pods [default: the one they name, else the first]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    #[command(flatten)]
    pub(crate) name: NameArgs,
}

/// Arguments of `apply`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Manifests: files, folders, or `-` for standard input
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    pub(crate) filenames: Vec<PathBuf>,
    /// Refuse manifests that have warnings
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Arguments of `delete`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Such as `service` or `scaledobject`
    #[arg(
        value_name = "KIND",
        required_unless_present = "filenames",
        requires = "name"
    )]
    pub(crate) kind: Option<String>,
    /// The object's name
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Delete the objects of these manifests
    #[arg(short, long = "filename", value_name = "PATH", conflicts_with = "kind")]
    pub(crate) filenames: Vec<PathBuf>,
}

/// Arguments of `validate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Manifests: files, folders, or `-` for standard input
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Domain of the functions' host names
    #[arg(long, default_value = "localhost")]
    pub(crate) domain: String,
    /// Warnings are errors
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Arguments of `simulate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Manifests that hold the policy
    #[arg(long, visible_alias = "policy", value_name = "PATH", required = true)]
    pub(crate) manifest: Vec<PathBuf>,
    /// Which function of the manifests; needed when they hold several
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Synthetic load: steps such as `0rps:30s,50rps:2m,0rps:3m`, or a shape such as
    /// `sine:mean=20,amplitude=15,period=5m,for=1h` (constant, step, sine, poisson)
    #[arg(
        long,
        value_name = "SPEC",
        required_unless_present = "trace",
        conflicts_with = "trace"
    )]
    pub(crate) load: Option<String>,
    /// Recorded load, CSV: `arrival_s,duration_s` or `t_seconds,in_flight[,METRIC=VALUE...]`
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// How long one request of a load in steps takes
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = humantime::parse_duration)]
    pub(crate) service_time: Duration,
    /// How long a replica takes until it is ready
    #[arg(long, value_name = "DURATION", default_value = "10ms", value_parser = humantime::parse_duration)]
    pub(crate) start_time: Duration,
    /// How long to go on after the load, to see it come to rest
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(crate) tail: Duration,
    /// Replicas that run at the beginning
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) replicas: u32,
    /// What one replica should carry of a metric, where its trigger does not say so
    #[arg(long, value_name = "METRIC=VALUE", value_parser = metric_target)]
    pub(crate) metric_target: Vec<(String, f64)>,
}

/// Arguments of `completion`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Why a text is no `METRIC=VALUE`.
#[derive(Debug, thiserror::Error)]
#[error("expected METRIC=VALUE with a value above 0")]
struct MetricTargetError;

fn metric_target(text: &str) -> Result<(String, f64), MetricTargetError> {
    let (metric, value) = text.split_once('=').ok_or(MetricTargetError)?;
    let value: f64 = value.parse().map_err(|_| MetricTargetError)?;
    if metric.is_empty() || !value.is_finite() || value <= 0.0 {
        return Err(MetricTargetError);
    }
    Ok((metric.to_owned(), value))
}

#[cfg(test)]
mod tests;
