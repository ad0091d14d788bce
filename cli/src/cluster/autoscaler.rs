//! `zeron autoscaler`: decides for the functions of the shards that it holds, and writes their
//! counts and the status of their objects.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use kube::Client;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use zeron_autoscaler::{Engine, EngineConfig, EngineHandle, MonotonicClock};
use zeron_backend_kubernetes::scale::{KubernetesBackend, ScaleConfig};
use zeron_backend_kubernetes::shards::{Shards, ShardsConfig};
use zeron_backend_kubernetes::token::{TokenConfig, TokenReviewer};
use zeron_backend_kubernetes::{
    Counters, EndpointSlices, Jobs, PodMeter, Pods, Services, Workloads,
};
use zeron_controller::events::EventWriter;
use zeron_controller::follow::Follower;
use zeron_controller::projection::ResolvedOnly;
use zeron_core::{Backend, ScalerRegistry};
use zeron_scalers::Resources;
use zeron_wire::Seconds;
use zeron_wire::hub::{Hub, HubConfig};
use zeron_wire::server::{Authenticate, Server, ServerConfig};

use super::args::AutoscalerArgs;
use super::control::ClusterControl;
use super::health::Gate;
use super::neighbours::{Measured, TriggerAddresses};
use super::ownership::Ownership;
use super::platform::Platform;
use super::reach::{Reach, Unused};
use super::reports::{Anybody, BoundTokens};
use super::share::Share;
use super::status::StatusKeeper;
use super::{Component, discover, external_scaler, neighbours, news, start};
use crate::admin::{AdminParts, AdminServer, HealthServer};
use crate::signals::Signals;

/// What activators' tokens are for, and whose they are, as our manifests have them.
const AUDIENCE: &str = "zeron-autoscaler";
const ACTIVATOR_ACCOUNT: &str = "zeron-activator";

/// Decides until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting; what happens later is logged, counted and survived.
pub(crate) async fn run(args: AutoscalerArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    crate::settle::after_start();
    let name = start::name(&args.cluster)?;
    let health = HealthServer::bind(args.cluster.health_listen).await?;
    let api = AdminServer::bind(&args.api_listen, None).await?;
    let scaler = external_scaler::listen(&args.external_scaler).await?;
    let client = start::client(&args.cluster, "zeron-autoscaler").await?;
    let counters = Arc::new(Counters::new());
    let pods = pods(&args, client.clone(), Arc::clone(&counters));
    let (parts, server) = parts(&args, client.clone(), pods, Arc::clone(&counters)).await?;
    let stopped = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stopped.clone().cancelled_owned()));

    let ownership = Arc::new(Mutex::new(Ownership::new(args.shards)));
    let events = EventWriter::start(client.clone(), start::reporter("zeron-autoscaler", &name));
    let news = news::tell(parts.clone(), Arc::clone(&ownership), events.clone());
    let telling = tokio::spawn(news);
    let status = StatusKeeper::start(client.clone(), &parts, Arc::clone(&ownership), events);
    let looking = status.clone();
    let reach = Reach::new(args.mesh.mode(), Arc::new(Unused), move |function| {
        looking.look_at_function(function);
    });
    parts.pods.subscribe(Arc::new(reach.clone()));
    status.ask(reach.clone());
    let share = Share::new(&parts, Arc::clone(&ownership), status.clone());
    let mut options = start::follow(&args.cluster, Arc::clone(&parts.scalers));
    options.projection.keeps_status = true;
    let follower = Follower::start(&client, options, reach.before(Arc::new(share.clone())));
    let follower = status.read_from(follower);
    let gate = Gate::new(&["the pods", "the declared objects"]);
    let mut metrics = metrics(&parts, &counters);
    share.register(args.shards, &mut metrics);
    follower.register(&mut metrics);
    let probes = tokio::spawn(health.run(
        Arc::new(gate.clone()),
        Arc::new(metrics),
        stopped.child_token(),
    ));
    let scaling = scaler.map(|listener| {
        tokio::spawn(listener.run(
            parts.engine.clone(),
            Arc::clone(&ownership),
            Arc::new(gate.clone()),
            stopped.child_token(),
        ))
    });
    let control = ClusterControl {
        engine: parts.engine.clone(),
        pods: parts.pods.clone(),
        ownership,
        health: Arc::new(gate.clone()),
    };
    let answering = tokio::spawn(api.run(
        AdminParts {
            control: Arc::new(control),
            metrics: Arc::new(Registry::default()),
        },
        stopped.child_token(),
    ));
    tokio::select! {
        () = synced(&gate, &parts, follower) => {
            // Only who sees everything may decide: what is not seen is not zero.
            let shards = Shards::campaign(client, shards(&args, &name), counters);
            let held = share.follow(shards);
            signals.next().await;
            gate.close("it is ending");
            held.release().await;
        }
        () = signals.next() => {}
    }
    parts.engine.stop();
    telling.abort();
    stopped.cancel();
    for task in [serving, probes, answering] {
        task.await?;
    }
    if let Some(scaling) = scaling {
        scaling.await??;
    }
    Ok(ExitCode::SUCCESS)
}

fn pods(args: &AutoscalerArgs, client: Client, counters: Arc<Counters>) -> Pods {
    let config = neighbours::pods(&args.cluster, &args.triggers);
    Pods::start(client, config, counters)
}

async fn synced(gate: &Gate, parts: &Parts, follower: &Follower) {
    parts.pods.synced().await;
    if let Some(services) = &parts.services {
        services.synced().await;
    }
    gate.done("the pods");
    follower.synced().await;
    gate.done("the declared objects");
    tracing::info!("ready");
}

/// The running parts of an autoscaler.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) pods: Pods,
    pub(super) backend: Platform,
    pub(super) engine: EngineHandle,
    pub(super) scalers: Arc<dyn ScalerRegistry>,
    /// Known where triggers may not reach all of them.
    services: Option<Services>,
}

/// Starts back end, hub and engine, and the listener for activators.
async fn parts(
    args: &AutoscalerArgs,
    client: Client,
    pods: Pods,
    counters: Arc<Counters>,
) -> anyhow::Result<(Parts, Server)> {
    let (hub, link) = Hub::start(HubConfig {
        seconds: Seconds::of_the_clock(),
        ..HubConfig::default()
    });
    hub.expect(discover::names(&args.cluster, &pods, Component::Activator));
    pods.subscribe(Arc::new(hub.clone()));
    let server = Server::bind(
        ServerConfig {
            versions: start::versions(),
            ..ServerConfig::new(args.listen)
        },
        authenticate(args, &client, &counters)?,
        hub,
    )
    .await
    .with_context(|| format!("cannot listen on {}: --listen chooses another", args.listen))?;
    let replicas = KubernetesBackend::start(
        client.clone(),
        pods.clone(),
        ScaleConfig::default(),
        Arc::clone(&counters),
    );
    let namespaces = args.cluster.watch_namespace.clone();
    let jobs = Jobs::start(client.clone(), namespaces, Arc::clone(&counters));
    let backend = Platform { replicas, jobs };
    let services = match args.triggers.trigger_addresses {
        TriggerAddresses::Any => None,
        TriggerAddresses::OwnNamespace => Some(Services::start(
            client.clone(),
            pods.clone(),
            Arc::clone(&counters),
        )),
    };
    let workloads = Workloads::new(pods.clone());
    let slices = EndpointSlices::new(client.clone(), Arc::clone(&counters));
    let meter = PodMeter::new(client, pods.clone(), counters);
    let builtin = neighbours::registry(
        &args.cluster,
        &args.triggers,
        Measured {
            workloads,
            resources: Resources::new(Arc::new(meter)),
        },
        slices,
        services.clone(),
    );
    let scalers: Arc<dyn ScalerRegistry> = Arc::new(ResolvedOnly(builtin));
    let platform: Arc<dyn Backend> = Arc::new(backend.clone());
    let engine = Engine::start(
        EngineConfig {
            replica_cap: Some(args.max_replicas),
            ..EngineConfig::default()
        },
        platform,
        Arc::clone(&scalers),
        link,
        Arc::new(MonotonicClock::new()),
    )?;
    let parts = Parts {
        pods,
        backend,
        engine,
        scalers,
        services,
    };
    Ok((parts, server))
}

/// Which shards there are, and how they are held.
fn shards(args: &AutoscalerArgs, name: &str) -> ShardsConfig {
    ShardsConfig::new(&args.cluster.pod_namespace, args.shards, name)
}

fn authenticate(
    args: &AutoscalerArgs,
    client: &Client,
    counters: &Arc<Counters>,
) -> anyhow::Result<Arc<dyn Authenticate>> {
    if args.insecure_reports {
        return Ok(Arc::new(Anybody));
    }
    let own = format!("{}/{ACTIVATOR_ACCOUNT}", args.cluster.pod_namespace);
    let accounts = match args.activator_account.as_slice() {
        [] => std::slice::from_ref(&own),
        given => given,
    };
    let split = |account: &String| -> anyhow::Result<(String, String)> {
        let (namespace, name) = account
            .split_once('/')
            .with_context(|| format!("--activator-account {account:?}: not NAMESPACE/NAME"))?;
        Ok((namespace.to_owned(), name.to_owned()))
    };
    let accounts = accounts.iter().map(split).collect::<Result<Vec<_>, _>>()?;
    let accounts = accounts
        .iter()
        .map(|(ns, name)| (ns.as_str(), name.as_str()));
    let config = TokenConfig::new(AUDIENCE, accounts);
    let reviewer = TokenReviewer::new(client.clone(), config, Arc::clone(counters));
    Ok(Arc::new(BoundTokens(reviewer)))
}

fn metrics(parts: &Parts, counters: &Counters) -> Registry {
    let mut metrics = Registry::default();
    parts.engine.register(&mut metrics);
    counters.register(&mut metrics);
    metrics
}
