//! `zeron autoscaler --dialect knative`: decides for the PodAutoscalers of the buckets that it holds.
//!
//! Beside replicas of Knative's own autoscaler it shares buckets with them, and either passes on
//! what the other decides.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use zeron_autoscaler::scrape::{Scraper, ScraperConfig};
use zeron_autoscaler::{Clock, Engine, EngineConfig, MonotonicClock};
use zeron_backend_kubernetes::buckets::{Buckets, BucketsConfig, BucketsConfigError, Ordinals};
use zeron_backend_kubernetes::scale::{KubernetesBackend, ScaleConfig};
use zeron_backend_kubernetes::{Counters, Pods, PodsConfig};
use zeron_controller::knative::{KnativeOptions, PodAutoscalers};
use zeron_core::Backend;
use zeron_wire::AutoscalerLink;
use zeron_wire::knative::{Forwarder, StatServer, StatServerConfig};

use super::args::{KnativeArgs, everywhere};
use super::figures::Figures;
use super::owned::Owned;
use super::revisions::Revisions;
use crate::admin::{AdminParts, AdminServer, HealthServer};
use crate::cluster::args::AutoscalerArgs;
use crate::cluster::control::ClusterControl;
use crate::cluster::health::Gate;
use crate::cluster::ownership::Ownership;
use crate::cluster::start;
use crate::signals::Signals;

/// Pods of revisions have this label.
const OF_REVISION: &str = "serving.knative.dev/revision";
/// How buckets are shared, unless the Deployment names another ConfigMap.
const LEADER_ELECTION: &str = "config-leader-election";
/// Until settings that cannot be read are read again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// How long writes under way may take before the buckets are given back.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Decides until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting; what happens later is logged, counted and survived.
pub(in crate::cluster) async fn run(args: AutoscalerArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    crate::settle::after_start();
    let health = HealthServer::bind(everywhere(args.cluster.health_listen)).await?;
    let api = AdminServer::bind(&args.api_listen, None).await?;
    let client = start::client(&args.cluster, "zeron-autoscaler").await?;
    let counters = Arc::new(Counters::new());
    let shared = tokio::select! {
        shared = buckets(&args, &client, &counters) => shared?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let (link, engines) = zeron_wire::link();
    let samples = link.sender.clone();
    let owned = Owned::nothing(shared.count);
    let forwarder = Forwarder::start(owned.subscribe(), link);
    let revisions = revisions(&args, client.clone(), &counters, engines, samples)?;
    let autoscalers = PodAutoscalers::start(
        client.clone(),
        options(&args.knative, &args.cluster.watch_namespace),
        Arc::new(revisions.clone()),
        owned.subscribe(),
        vec![revisions.engine.subscribe(), revisions.scraper.subscribe()],
    );

    let stopped = CancellationToken::new();
    let gate = Gate::new(&["the pods", "the declared objects"]);
    let probes = tokio::spawn(health.run(
        Arc::new(gate.clone()),
        Arc::new(metrics(&revisions, &autoscalers, &counters)),
        stopped.child_token(),
    ));
    let control = ClusterControl {
        engine: revisions.engine.clone(),
        pods: revisions.pods.clone(),
        ownership: Arc::new(Mutex::new(Ownership::new(1))),
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
        () = synced(&gate, &revisions.pods, &autoscalers) => {}
        () = signals.next() => {
            revisions.engine.stop();
            return Ok(ExitCode::SUCCESS);
        }
    }
    // Only who sees everything may decide, or be ready: what is not seen is not zero.
    let listen = everywhere(args.listen);
    let server = StatServer::bind(StatServerConfig::new(listen), forwarder, owned.subscribe())
        .await
        .with_context(|| format!("cannot listen on {listen}: --listen chooses another"))?;
    let serving = tokio::spawn(server.serve(stopped.clone().cancelled_owned()));
    let buckets = Buckets::campaign(client, shared, counters);
    let following = owned.follow(&buckets);
    tracing::info!("ready");
    signals.next().await;

    gate.close("it is ending");
    stopped.cancel();
    for task in [serving, probes, answering] {
        task.await?;
    }
    // Nothing more is decided, then nothing more is written, then others may have the buckets.
    drop(autoscalers);
    revisions.engine.stop();
    if timeout(LAST_WRITES, revisions.backend.settled())
        .await
        .is_err()
    {
        tracing::warn!("writes are still under way");
    }
    buckets.release().await;
    drop(following);
    Ok(ExitCode::SUCCESS)
}

async fn synced(gate: &Gate, pods: &Pods, autoscalers: &PodAutoscalers) {
    pods.synced().await;
    gate.done("the pods");
    autoscalers.synced().await;
    gate.done("the declared objects");
}

/// How buckets are shared: read until it can be.
async fn buckets(
    args: &AutoscalerArgs,
    client: &Client,
    counters: &Arc<Counters>,
) -> anyhow::Result<BucketsConfig> {
    let pod = start::name(&args.cluster)?;
    let mut config =
        BucketsConfig::new(&args.knative.system_namespace, &pod, args.knative.pod_ip()?);
    config.port = args.listen.port();
    config.cluster_domain = args.knative.cluster_domain();
    let variable = |name: &str| std::env::var(name).ok();
    config.ordinals = Ordinals::from_vars(variable);
    let name = variable("CONFIG_LEADERELECTION_NAME");
    let name = name.as_deref().unwrap_or(LEADER_ELECTION);
    loop {
        match config.clone().fetch(client, counters, name).await {
            Ok(config) => return Ok(config),
            Err(error @ BucketsConfigError::Unreadable { .. }) => {
                let error = zeron_core::Chain(&error);
                tracing::warn!(%error, "waiting for the settings");
            }
            Err(error) => return Err(error.into()),
        }
        sleep(READ_AGAIN).await;
    }
}

/// Starts pod watch, back end, engine and scraper.
fn revisions(
    args: &AutoscalerArgs,
    client: Client,
    counters: &Arc<Counters>,
    engines: AutoscalerLink,
    samples: tokio::sync::mpsc::Sender<zeron_wire::ToAutoscaler>,
) -> anyhow::Result<Revisions> {
    let pods = Pods::start(
        client.clone(),
        PodsConfig {
            labels: Some(OF_REVISION.to_owned()),
            ..start::pods(&args.cluster)
        },
        Arc::clone(counters),
    );
    let backend = KubernetesBackend::start(
        client,
        pods.clone(),
        ScaleConfig::default(),
        Arc::clone(counters),
    );
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let platform: Arc<dyn Backend> = backend.clone();
    let config = EngineConfig {
        // `max-scale` alone limits, as with Knative's own.
        replica_cap: None,
        ..EngineConfig::default()
    };
    let scalers = start::sources(&args.cluster);
    let engine = Engine::start(config, platform, scalers, engines, Arc::clone(&clock))?;
    let scraper = Scraper::start(ScraperConfig::default(), samples, clock);
    pods.subscribe(scraper.sink());
    Ok(Revisions {
        pods,
        backend,
        engine,
        scraper,
    })
}

fn options(args: &KnativeArgs, namespaces: &[String]) -> KnativeOptions {
    KnativeOptions {
        system_namespace: args.system_namespace.clone(),
        namespaces: namespaces.to_vec(),
        cluster_domain: args.cluster_domain(),
        ..KnativeOptions::default()
    }
}

fn metrics(revisions: &Revisions, autoscalers: &PodAutoscalers, counters: &Counters) -> Registry {
    let mut metrics = Registry::default();
    revisions.engine.register(&mut metrics);
    revisions.scraper.register(&mut metrics);
    counters.register(&mut metrics);
    autoscalers.register(&mut metrics);
    metrics.register_collector(Box::new(Figures {
        engine: revisions.engine.clone(),
        pods: revisions.pods.clone(),
    }));
    metrics
}
