//! Options of the commands that run in a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::external_scaler::args::ExternalScalerArgs;
use super::knative::args::{Dialect, HEADING as KNATIVE, KnativeArgs};
use super::neighbours::TriggerAddressArgs;
use super::reach::MeshArgs;
use crate::args::{LogFormat, RequestArgs};

/// Options that every process in a cluster has.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Kubeconfig file [default: $KUBECONFIG, else the pod's own account, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Only these namespaces; all of them when none is given
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        env = "ZERON_WATCH_NAMESPACE"
    )]
    pub(crate) watch_namespace: Vec<String>,
    /// Which objects are ours: all, only those labelled zeron.dev/manage=true, or (auto) all of
    /// them unless a live KEDA is seen
    #[arg(long, value_enum, default_value = "auto", value_name = "WHICH")]
    pub(crate) manage: Manage,
    /// Only the KEDA of this namespace is looked for [default: those of all namespaces]
    #[arg(long, value_name = "NAMESPACE", env = "ZERON_KEDA_NAMESPACE")]
    pub(crate) keda_namespace: Option<String>,
    /// Where ClusterTriggerAuthentications find their Secrets and ConfigMaps
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "KEDA_CLUSTER_OBJECT_NAMESPACE",
        default_value = "keda"
    )]
    pub(crate) cluster_object_namespace: String,
    /// Namespaces whose routes may take every request; the same for all processes
    #[arg(long, value_name = "NAMESPACE", value_delimiter = ',')]
    pub(crate) allow_catch_all: Vec<String>,
    /// Triggers may reach services of this process's own machine, at loopback addresses
    #[arg(long, env = "ZERON_ALLOW_LOOPBACK_TRIGGERS")]
    pub(crate) allow_loopback_triggers: bool,
    /// Folder of the files that `filePath` of a ClusterTriggerAuthentication names; none: they are not read
    #[arg(long, value_name = "DIR", env = "ZERON_FILEPATH_AUTH_ROOT_PATH")]
    pub(crate) filepath_auth_root_path: Option<std::path::PathBuf>,
    /// Name of this process among its like [default: the host's name]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub(crate) pod_name: Option<String>,
    /// Namespace of the zeron processes themselves
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "POD_NAMESPACE",
        default_value = "zeron-system"
    )]
    pub(crate) pod_namespace: String,
    /// Address of /healthz, /readyz and /metrics [with --dialect knative: port 9090]
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8081",
        default_value_if("dialect", "knative", "[::]:9090")
    )]
    pub(crate) health_listen: SocketAddr,
    /// How to write the log
    #[arg(long, value_enum, default_value = "json", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Log more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Which objects are ours to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manage {
    /// All, unless a live KEDA holds its lease: then only labelled ones.
    Auto,
    /// All, whoever else lives here.
    All,
    /// Only those with the label `zeron.dev/manage: "true"`.
    Labelled,
}

/// Arguments of `activator`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ActivatorArgs {
    /// Whose objects and protocols
    #[arg(long, value_enum, default_value = "zeron", value_name = "DIALECT")]
    pub(crate) dialect: Dialect,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) knative: KnativeArgs,
    /// Second address for requests, where Knative's gateways speak HTTP/2
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "[::]:8013",
        help_heading = KNATIVE
    )]
    pub(crate) h2c_listen: SocketAddr,
    /// Address for requests of gateways over TLS, where system-internal-tls is on
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "[::]:8112",
        help_heading = KNATIVE
    )]
    pub(crate) internal_tls_listen: SocketAddr,
    /// Address for requests, HTTP/1.1 and h2c [with --dialect knative: port 8012]
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080",
        default_value_if("dialect", "knative", "[::]:8012")
    )]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// Address at which other activators hand over requests to replicas that are ours
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8012")]
    pub(crate) peer_listen: SocketAddr,
    /// Autoscalers at fixed addresses [default: found by their pods]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) autoscaler: Vec<SocketAddr>,
    /// File with the token that autoscalers ask for
    #[arg(long, value_name = "FILE")]
    pub(crate) autoscaler_token_file: Option<PathBuf>,
    /// After SIGTERM: how long to go on accepting while others learn that this one ends
    /// [with --dialect knative: 45s]
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        default_value_if("dialect", "knative", "45s"),
        value_parser = humantime::parse_duration
    )]
    pub(crate) lame_duck: Duration,
    /// After that: how long requests in flight may take [with --dialect knative: 550s]
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "300s",
        default_value_if("dialect", "knative", "550s"),
        value_parser = humantime::parse_duration
    )]
    pub(crate) drain_grace: Duration,
    /// Tell callers of a failed start the whole reason, with what the program wrote
    #[arg(long)]
    pub(crate) show_platform_reason: bool,
}

/// Arguments of `autoscaler`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AutoscalerArgs {
    /// Whose objects and protocols
    #[arg(long, value_enum, default_value = "zeron", value_name = "DIALECT")]
    pub(crate) dialect: Dialect,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) knative: KnativeArgs,
    /// Address at which activators report
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080",
        default_value_if("dialect", "knative", "[::]:8080")
    )]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    #[command(flatten)]
    pub(crate) external_scaler: ExternalScalerArgs,
    #[command(flatten)]
    pub(crate) triggers: TriggerAddressArgs,
    /// Address of the API that `zeron ls`, `why` and `timeline` ask
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    pub(crate) api_listen: crate::address::AdminAddress,
    /// In how many shards functions are shared by autoscalers; the same for all of them
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) shards: u32,
    /// Accept reports of whoever connects, without a token: for loopback only
    #[arg(long)]
    pub(crate) insecure_reports: bool,
    /// Accounts whose activators may report, as NAMESPACE/NAME
    /// [default: zeron-activator of our own namespace]
    #[arg(long, value_name = "ACCOUNT", value_delimiter = ',')]
    pub(crate) activator_account: Vec<String>,
    /// Most replicas of one function, whatever its objects allow
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) max_replicas: u32,
}

/// Arguments of `controller`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ControllerArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Address of the admission webhooks; none when it is empty
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) webhook_listen: Option<SocketAddr>,
    /// The ValidatingWebhookConfiguration that is given the webhooks' authority
    #[arg(long, value_name = "NAME", default_value = "zeron")]
    pub(crate) webhook_configuration: String,
    /// Namespace in which the HTTP add-on's Service names lead to our activators
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) alias_namespace: Option<String>,
}
