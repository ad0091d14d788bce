//! The machine that `zeron up` runs: every part on this one host, wired together.
//!
//! [`up`] is the whole life of the process from top to bottom. `desired` reads what people asked
//! for, `services` and `revisions` turn it into a `plan`, `reconcile` brings the `parts` to it.

mod applets;
mod banner;
mod compact;
mod control;
mod desired;
mod parts;
mod plan;
mod ready;
mod reconcile;
mod revisions;
mod services;
mod shadow;
mod start;
mod view;

#[cfg(test)]
mod desired_tests;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use zeron_core::Backend;

use crate::admin::{AdminParts, AdminServer};
use crate::args::UpArgs;
use crate::signals::Signals;
use crate::watch::{Watch, WatchError};
use desired::{Desired, FirstReadError};
use parts::Parts;
use ready::ReadyWatch;
use reconcile::{Command, Reconciler};
use view::View;

/// How long functions may take to end after the last request was answered.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Runs the functions of `args.paths` until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting; what happens later is logged, counted and survived.
pub(crate) async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    crate::settle::after_start();
    let state = start::open_state(&args)?;
    // Before the files are read: no change after that is missed.
    let watch = (!args.no_watch && !args.paths.is_empty()).then(|| Watch::start(&args.paths));
    let desired = match Desired::read(
        &args.paths,
        start::options(&args),
        Arc::new(start::scalers(&args)),
        state.store.clone(),
    ) {
        Ok(desired) => desired,
        Err(FirstReadError::Invalid(problems)) => return Ok(start::refuse(&problems)),
        Err(error @ FirstReadError::Store(_)) => return Err(error.into()),
    };
    let admin = AdminServer::bind(&args.admin_listen, start::token(&args)?).await?;
    let mut metrics = Registry::default();
    let parts = start::parts(&args, &state, &mut metrics)?;

    let (commands, queue) = mpsc::channel(reconcile::QUEUE);
    let ready = ReadyWatch::new(commands.clone());
    parts.backend.subscribe(ready.clone());
    let (view, views) = watch::channel(Arc::new(View::default()));
    let services = services::Services::load(state.store.clone())?;
    let plan = plan::Plan::default();
    let reconciler = Reconciler {
        desired,
        services,
        parts: parts.clone(),
        ready,
        plan,
        view,
    };
    let reconciling = start::thread("node", move || reconciler.run(queue))?;

    let stop = CancellationToken::new();
    let stopped = CancellationToken::new();
    let node = start::control(&parts, commands.clone(), views.clone(), stop.clone());
    banner::print(&args, &node, admin.address(), views).await;
    let serving = tokio::spawn(admin.run(
        AdminParts {
            control: Arc::new(node),
            metrics: Arc::new(metrics),
        },
        stopped.clone(),
    ));
    let watching = watch.map(|watch| tokio::spawn(follow_files(watch, commands.clone())));
    drop(commands);

    signals.next().await;
    let grace = tokio::select! {
        () = drain(&parts, &args, &stop) => STOP_GRACE,
        () = signals.next() => {
            tracing::warn!("second signal: ending now");
            Duration::ZERO
        }
    };
    if let Some(watching) = watching {
        watching.abort();
    }
    parts.engine.stop();
    tokio::select! {
        () = parts.backend.shutdown(grace) => {}
        () = signals.next() => parts.backend.shutdown(Duration::ZERO).await,
    }
    stopped.cancel();
    serving.await?;
    drop(reconciling);
    Ok(ExitCode::SUCCESS)
}

/// Finishes what is in flight; nothing new is accepted meanwhile.
async fn drain(parts: &Parts, args: &UpArgs, stop: &CancellationToken) {
    tracing::info!(grace = ?args.drain_grace, "draining");
    stop.cancel();
    parts.activator.drain(args.drain_grace).await;
}

/// Asks for a reload after every change of the files, for as long as they can be watched.
async fn follow_files(watch: Result<Watch, WatchError>, commands: mpsc::Sender<Command>) {
    let mut watch = match watch {
        Ok(watch) => watch,
        Err(error) => {
            let error = zeron_core::Chain(&error);
            tracing::warn!(%error, "changes of the manifests are not followed");
            return;
        }
    };
    while watch.changed().await.is_some() {
        if commands.send(Command::Reload).await.is_err() {
            return;
        }
    }
}
