//! The processes of a cluster: `zeron activator`, `zeron autoscaler` and `zeron controller`.
//!
//! Each is one file, its whole life from top to bottom. All three read the same declared objects
//! through the same projection (`zeron-controller`); `ownership` and `share` say which functions an
//! autoscaler decides for, `status` keeps their objects' status. With `--dialect knative` a process
//! takes the place of one of Knative's own instead (`knative`).

mod activator;
pub(crate) mod args;
mod autoscaler;
mod control;
mod controller;
mod discover;
pub(crate) mod external_scaler;
mod health;
mod knative;
mod neighbours;
mod news;
mod ownership;
mod platform;
pub(crate) mod reach;
mod reports;
mod settling;
mod share;
mod start;
mod status;
mod workload;

pub(crate) use controller::run as controller;

use std::process::ExitCode;

use args::{ActivatorArgs, AutoscalerArgs};
use discover::Component;
use knative::args::Dialect;
use zeron_backend_process::OpenFiles;

/// Serves until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting.
pub(crate) async fn activator(args: ActivatorArgs) -> anyhow::Result<ExitCode> {
    OpenFiles::raise();
    match args.dialect {
        Dialect::Zeron => activator::run(args).await,
        Dialect::Knative => knative::activator(args).await,
    }
}

/// Decides until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting.
pub(crate) async fn autoscaler(args: AutoscalerArgs) -> anyhow::Result<ExitCode> {
    OpenFiles::raise();
    match args.dialect {
        Dialect::Zeron => autoscaler::run(args).await,
        Dialect::Knative if args.external_scaler.external_scaler_listen.is_some() => {
            anyhow::bail!("--external-scaler-listen: not with --dialect knative")
        }
        Dialect::Knative => knative::autoscaler(args).await,
    }
}
