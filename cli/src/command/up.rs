//! `up`: the log and the runtime for the node.

use std::process::ExitCode;

use anyhow::Context;

use super::{Failure, log};
use crate::admin::{AdminError, TokenError};
use crate::args::UpArgs;
use crate::node;

/// The data plane has threads of its own; this one serves the admin API and polls event sources.
const THREADS: usize = 1;

pub(super) fn run(args: UpArgs) -> Result<ExitCode, Failure> {
    log::start(args.verbose, args.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("zeron-control")
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(node::up(args)).map_err(classify)
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
