//! `up`: the runtime for the node.

use std::process::ExitCode;

use anyhow::Context;

use super::Failure;
use crate::args::UpArgs;
use crate::node;

/// The data plane has threads of its own; this one serves the admin API and polls event sources.
const THREADS: usize = 1;

pub(super) fn run(args: UpArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("zeron-control")
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    Ok(runtime.block_on(node::up(args))?)
}
