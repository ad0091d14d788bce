//! Where a running process writes its log.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use super::Failure;
use crate::args::LogFormat;

/// The log goes to standard error. `ZERON_LOG` wins over `-v`; others' crates only warn, and lapin is silent: to it
/// every poll of a queue that does not exist is an error, which the trigger's condition says once.
pub(super) fn start(verbose: u8, format: LogFormat) -> Result<(), Failure> {
    let (own, others) = match verbose {
        0 => ("info", "warn,lapin=off"),
        1 => ("debug", "warn,lapin=off"),
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
    let started = match format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::Runtime(anyhow::anyhow!(error)))
}
