//! `up`: the log and the runtime for the node.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::admin::{AdminError, TokenError};
use crate::args::{LogFormat, UpArgs};
use crate::node;

/// The data plane has threads of its own; this one serves the admin API and polls event sources.
const THREADS: usize = 1;

pub(super) fn run(args: UpArgs) -> Result<ExitCode, Failure> {
    start_log(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("zeron-control")
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(node::up(args)).map_err(classify)
}

/// The log goes to standard error. `ZERON_LOG` wins over `-v`; others' crates only warn.
fn start_log(args: &UpArgs) -> Result<(), Failure> {
    let (own, others) = match args.verbose {
        0 => ("info", "warn"),
        1 => ("debug", "warn"),
        _ => ("trace", "debug"),
    };
    let directives = std::env::var("ZERON_LOG").unwrap_or_else(|_| format!("{others},zeron={own}"));
    let filter = EnvFilter::try_new(&directives)
        .with_context(|| format!("ZERON_LOG is not a log filter: {directives:?}"))
        .map_err(Failure::Usage)?;
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!is_plain && std::io::stderr().is_terminal());
    let started = match args.log_format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::Runtime(anyhow::anyhow!(error)))
}

/// Tells what was given wrongly from what went wrong.
fn classify(error: anyhow::Error) -> Failure {
    let is_usage = error.chain().any(|cause| {
        cause.is::<TokenError>() || matches!(cause.downcast_ref(), Some(AdminError::NeedsToken(_)))
    });
    if is_usage {
        Failure::Usage(error)
    } else {
        Failure::Runtime(error)
    }
}
