//! `zeron activator --dialect knative`: carries requests from Knative's gateways to its queue-proxies.
//!
//! It watches Revisions and Endpoints by itself, so that warm traffic needs nobody else; an
//! autoscaler, ours or Knative's own, is told of load and of requests that wait.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use zeron_activator::{Activator, Config, Dialect, Knative};
use zeron_backend_kubernetes::{Counters, EndpointsConfig, ServiceEndpoints};
use zeron_controller::knative_activator::{Network, Revisions};
use zeron_core::FunctionId;
use zeron_wire::knative::{StatClient, StatClientConfig, StatConnection};

use super::args::everywhere;
use super::settings;
use crate::admin::HealthServer;
use crate::cluster::args::ActivatorArgs;
use crate::cluster::health::Gate;
use crate::cluster::start;
use crate::signals::Signals;

/// Where autoscalers take statistics.
const AUTOSCALER_PORT: u16 = 8080;
/// Refused probes that may wait to be told of.
const REFUSALS: usize = 64;
/// Until settings that cannot be read are read again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// How long the last report may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting; what happens later is logged, counted and survived.
pub(in crate::cluster) async fn run(args: ActivatorArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    crate::settle::after_start();
    let health = HealthServer::bind(everywhere(args.cluster.health_listen)).await?;
    let client = start::client(&args.cluster, "zeron-activator").await?;
    let counters = Arc::new(Counters::new());
    let network = tokio::select! {
        network = network(&client, &args.knative.system_namespace) => network,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let stats = stats(&args)?;
    let (goodbye, connection) = (stats.link.sender.clone(), stats.state);
    let (refused, refusals) = mpsc::channel(REFUSALS);
    let activator = Activator::start(config(&args, network, refused), stats.link).context(
        "the data plane cannot start: --listen, --h2c-listen and --internal-tls-listen choose its addresses",
    )?;
    let endpoints = ServiceEndpoints::start(
        client.clone(),
        EndpointsConfig {
            mesh: network.mesh,
            has_passthrough: network.has_passthrough,
            ..EndpointsConfig::new(args.knative.pod_ip()?)
        },
        Arc::clone(&counters),
    );
    endpoints.subscribe(activator.sink());
    let telling = tokio::spawn(tell_refusals(refusals, endpoints.clone()));
    let revisions = {
        let activator = activator.clone();
        let publish = Arc::new(move |routes| activator.publish(routes));
        Revisions::start(client.clone(), endpoints.clone(), publish)
    };
    let namespace = &args.knative.system_namespace;
    let encryption = network.has_internal_tls.then(|| {
        let from_gateways = settings::certificates(&client, namespace, activator.clone());
        let to_replicas = settings::authorities(&client, namespace, activator.clone());
        (from_gateways, to_replicas)
    });
    let request_log = settings::request_log(&client, namespace, activator.clone());

    let gate = Gate::new(&["the endpoints", "the revisions"]);
    let mut metrics = Registry::default();
    activator.register(&mut metrics);
    counters.register(&mut metrics);
    metrics.register_collector(Box::new(Reach(connection)));
    let stopped = CancellationToken::new();
    let probes = tokio::spawn(health.run(
        Arc::new(gate.clone()),
        Arc::new(metrics),
        stopped.child_token(),
    ));
    tokio::select! {
        () = synced(&gate, &endpoints, &revisions) => {
            activator.say_ready();
            tracing::info!("ready");
            signals.next().await;
        }
        () = signals.next() => {}
    }
    gate.close("it is ending");
    tracing::info!(lame_duck = ?args.lame_duck, grace = ?args.drain_grace, "ending");
    tokio::select! {
        () = activator.drain(args.lame_duck + args.drain_grace) => {}
        () = signals.next() => {
            tracing::warn!("second signal: ending now");
            activator.drain(Duration::ZERO).await;
        }
    }
    start::say_goodbye(goodbye, LAST_WORDS).await;
    telling.abort();
    drop((encryption, request_log));
    stopped.cancel();
    probes.await?;
    Ok(ExitCode::SUCCESS)
}

async fn synced(gate: &Gate, endpoints: &ServiceEndpoints, revisions: &Revisions) {
    revisions.synced().await;
    gate.done("the revisions");
    endpoints.synced().await;
    gate.done("the endpoints");
}

/// The way to replicas: read until it can be.
async fn network(client: &Client, namespace: &str) -> Network {
    loop {
        match Network::read(client, namespace).await {
            Ok(network) => return network,
            Err(error) => {
                let error = zeron_core::Chain(&error);
                tracing::warn!(%error, "waiting for the settings");
            }
        }
        sleep(READ_AGAIN).await;
    }
}

/// The connection to whichever autoscaler answers.
fn stats(args: &ActivatorArgs) -> anyhow::Result<StatClient> {
    let knative = &args.knative;
    let address = match args.autoscaler.first() {
        Some(address) => address.to_string(),
        None => format!(
            "autoscaler.{}.svc.{}:{AUTOSCALER_PORT}",
            knative.system_namespace,
            knative.cluster_domain()
        ),
    };
    let pod = start::name(&args.cluster)?;
    Ok(StatClient::connect(StatClientConfig::new(&pod, &address)))
}

fn config(args: &ActivatorArgs, network: Network, refused: mpsc::Sender<FunctionId>) -> Config {
    let listen = everywhere(args.listen);
    let tls = everywhere(args.internal_tls_listen);
    Config {
        listeners: vec![listen, everywhere(args.h2c_listen)],
        lame_duck: args.lame_duck,
        holds_until_ready: true,
        dialect: Dialect::Knative(Knative {
            cluster_domain: args.knative.cluster_domain(),
            has_passthrough: network.has_passthrough,
            has_internal_tls: network.has_internal_tls,
        }),
        pushed_tls: network.has_internal_tls.then_some(tls),
        refused_probes: Some(refused),
        ..args.requests.config(listen)
    }
}

async fn tell_refusals(mut refusals: mpsc::Receiver<FunctionId>, endpoints: ServiceEndpoints) {
    while let Some(id) = refusals.recv().await {
        endpoints.refused(&id);
    }
}

/// Whether an autoscaler can be told of load, under Knative's names.
#[derive(Debug)]
struct Reach(watch::Receiver<StatConnection>);

impl Collector for Reach {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let connection = *self.0.borrow();
        let figures = [
            (
                "kn_activator_stats_conn_reachable",
                "1 while an autoscaler is connected",
                u64::from(connection.is_reachable),
            ),
            (
                "kn_activator_stats_conn_errors",
                "Connections to an autoscaler that failed or broke",
                connection.errors,
            ),
        ];
        for (name, help, value) in figures {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("peer", "autoscaler")])?)?;
        }
        Ok(())
    }
}
