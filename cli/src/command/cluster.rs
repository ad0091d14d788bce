//! `activator`, `autoscaler`, `controller`: the log and the runtime for a process of a cluster.

use std::process::ExitCode;

use anyhow::Context;

use super::{Failure, log};
use crate::cluster;
use crate::cluster::args::{ActivatorArgs, AutoscalerArgs, ClusterArgs, ControllerArgs};

/// The data plane and the engine have threads of their own; these serve watches, writes and polls.
const THREADS: usize = 2;

pub(super) fn activator(args: ActivatorArgs) -> Result<ExitCode, Failure> {
    run(&args.cluster.clone(), cluster::activator(args))
}

pub(super) fn autoscaler(args: AutoscalerArgs) -> Result<ExitCode, Failure> {
    run(&args.cluster.clone(), cluster::autoscaler(args))
}

pub(super) fn controller(args: ControllerArgs) -> Result<ExitCode, Failure> {
    run(&args.cluster.clone(), cluster::controller(args))
}

fn run(
    args: &ClusterArgs,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> Result<ExitCode, Failure> {
    log::start(args.verbose, args.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("zeron-control")
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(work).map_err(Failure::Runtime)
}
