//! What every process of a cluster needs before it begins.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use tokio::sync::mpsc;
use zeron_backend_kubernetes::{ClientOptions, PodsConfig};
use zeron_controller::events::EventWriterOptions;
use zeron_controller::follow::FollowOptions;
use zeron_controller::projection::{self, CatchAll, ProjectionOptions};
use zeron_core::ScalerRegistry;
use zeron_scalers::{AddressPolicy, Registry};
use zeron_wire::{ToAutoscaler, Versions};

use super::args::{ClusterArgs, Manage};

/// What activators and autoscalers say to each other. Tests of upgrades let a process speak as the
/// next build may.
pub(super) fn versions() -> Versions {
    #[cfg(debug_assertions)]
    if std::env::var_os("ZERON_TEST_NEXT_BUILD").is_some() {
        return Versions::of_next_build();
    }
    Versions::OURS
}

/// This process's name among its like: its pod's, else the host's with the process id.
pub(super) fn name(args: &ClusterArgs) -> anyhow::Result<String> {
    if let Some(name) = &args.pod_name {
        return Ok(name.clone());
    }
    let host = rustix::system::uname();
    let host = host.nodename().to_str().context("the host has no name")?;
    Ok(format!("{host}-{}", std::process::id()))
}

pub(super) async fn client(args: &ClusterArgs, name: &'static str) -> anyhow::Result<Client> {
    let options = ClientOptions {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        name,
        ..ClientOptions::default()
    };
    Ok(options.connect().await?)
}

/// Of the pod watch; our own pods are in our own namespace.
pub(super) fn pods(args: &ClusterArgs) -> PodsConfig {
    let mut namespaces = args.watch_namespace.clone();
    if !namespaces.is_empty() && !namespaces.contains(&args.pod_namespace) {
        namespaces.push(args.pod_namespace.clone());
    }
    PodsConfig {
        namespaces,
        ..PodsConfig::default()
    }
}

pub(super) fn follow(args: &ClusterArgs, scalers: Arc<dyn ScalerRegistry>) -> FollowOptions {
    let catch_all = args.allow_catch_all.iter().cloned().collect();
    let projection = ProjectionOptions {
        cluster_namespace: args.cluster_object_namespace.clone(),
        catch_all: CatchAll::Namespaces(catch_all),
        manage: match args.manage {
            Manage::Auto => projection::Manage::Auto,
            Manage::All => projection::Manage::All,
            Manage::Labelled => projection::Manage::Labelled,
        },
        sees_all_namespaces: args.watch_namespace.is_empty(),
        ..ProjectionOptions::new(scalers)
    };
    FollowOptions {
        namespaces: args.watch_namespace.clone(),
        keda_namespace: args.keda_namespace.clone().filter(|name| !name.is_empty()),
        ..FollowOptions::new(projection)
    }
}

/// What triggers may make this process dial: tenants declare them, and it may reach more than they do.
pub(super) fn addresses(args: &ClusterArgs) -> AddressPolicy {
    AddressPolicy {
        is_loopback_allowed: args.allow_loopback_triggers,
        ..AddressPolicy::CLUSTER
    }
}

/// The event sources that are built in.
pub(super) fn sources(args: &ClusterArgs) -> Arc<Registry> {
    let addresses = addresses(args);
    let files = args.filepath_auth_root_path.clone();
    Arc::new(Registry::builtin(addresses.clone()).with_file_root(addresses, files))
}

/// Who reports events.
pub(super) fn reporter(controller: &str, name: &str) -> EventWriterOptions {
    EventWriterOptions {
        controller: controller.to_owned(),
        instance: Some(name.to_owned()),
    }
}

/// The last word to the autoscalers: from now on silence is a known zero.
pub(super) async fn say_goodbye(sender: mpsc::Sender<ToAutoscaler>, within: Duration) {
    let said = async {
        sender.send(ToAutoscaler::Goodbye).await.ok()?;
        sender.closed().await;
        Some(())
    };
    if tokio::time::timeout(within, said).await.is_err() {
        tracing::debug!("not every autoscaler heard the goodbye");
    }
}
