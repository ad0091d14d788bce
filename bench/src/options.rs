//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::measures::{knative, kubernetes, sources};
use crate::subject::{floor, origin};

/// Measures zeron against floors and peers of the same run.
#[derive(Clone, Debug, Parser)]
#[command(name = "zeron-bench", max_term_width = 110)]
pub(crate) struct Options {
    /// What to measure.
    #[command(subcommand)]
    pub(crate) role: Role,
    /// How to print the figures; everything else goes to stderr.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// A small run that shows that the measure works; its figures do not count.
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// The zeron binary; by default the one beside this program, which `cargo run` builds first.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) zeron: Option<PathBuf>,
    /// The function that cold starts start; by default beside this program.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) function: Option<PathBuf>,
    /// A further flag of `zeron up`; may be repeated.
    #[arg(
        long = "up-flag",
        global = true,
        value_name = "FLAG",
        allow_hyphen_values = true
    )]
    pub(crate) up_flags: Vec<String>,
    /// Rounds of alternating pairs; by default what the measure needs.
    #[arg(long, global = true, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// How long `overload` lasts.
    #[arg(long, global = true, value_name = "MINUTES", default_value_t = 10)]
    pub(crate) minutes: u64,
    /// Kafka brokers for `kafka`, one for `kafka-groups`.
    #[arg(long, global = true, value_name = "HOST:PORT,...")]
    pub(crate) brokers: Option<String>,
}

/// A measure, or (hidden) a role that the bench starts itself in.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// First byte through zeron from zero, minus first byte of the same binary spawned directly.
    ColdStart,
    /// CPU per request and added latency, against a bare hyper reverse proxy.
    WarmHop,
    /// Cold starts per second, each of another function.
    ColdRate,
    /// 500 requests at once to one function at zero.
    Burst,
    /// Resident memory: idle, per function, per held request.
    Memory,
    /// Requests that land around the moment at which the last replica is told to stop.
    ZeroRace,
    /// From a produced message to the process started.
    Kafka,
    /// 1,000 consumer groups of one topic: requests, CPU, threads, connections and memory of reading them.
    KafkaGroups,
    /// From an event to the decision that wakes its function, per source: polled and pushed.
    Sources(sources::Options),
    /// 10,000 triggers of mixed kind, of whose sources some die and some hang: are the others read on time?
    Triggers,
    /// A function that gets far more than it can serve.
    Overload,
    /// Cold starts, many at once, Kafka, rest and start-up on a Kubernetes cluster.
    Kubernetes(kubernetes::Options),
    /// Knative's own activator and autoscaler against zeron's, in the same installation.
    Knative(knative::Options),
    /// All of them but `kubernetes` and `knative`.
    All,
    /// The generator's own ceiling and the machine's calibration.
    Calibrate,
    /// The origin.
    #[command(hide = true)]
    Origin(origin::Options),
    /// The bare reverse proxy.
    #[command(hide = true)]
    Floor(floor::Options),
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A line per figure.
    Text,
    /// One array.
    Json,
}
