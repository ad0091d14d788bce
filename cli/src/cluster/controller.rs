//! `zeron controller`: finalizers, child objects, Services that lead to the activators, webhooks.

use std::num::NonZeroU16;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeron_backend_kubernetes::Counters;
use zeron_backend_kubernetes::lease::{Leadership, Lease, LeaseConfig};
use zeron_controller::alias::{self, AliasOptions};
use zeron_controller::events::EventWriter;
use zeron_controller::follow::{DeclaredSink, FollowOptions, Follower};
use zeron_controller::projection::Changes;
use zeron_controller::reconcile::{self, ReconcileOptions};
use zeron_controller::services::{
    self, LINGER, ServicesOptions, TcpAccepts, Workloads, follow_activators,
};
use zeron_controller::webhook::{self, WebhookOptions};

use super::args::ControllerArgs;
use super::health::Gate;
use super::start;
use crate::admin::HealthServer;
use crate::signals::Signals;

/// What a controller with webhooks waits for before it is ready.
const WEBHOOKS: &str = "the webhooks' certificate";
/// The Lease of the controller that works.
const LEASE: &str = "zeron-controller";
/// The activators' ports, as our manifests have them.
const HTTP: NonZeroU16 = NonZeroU16::new(8080).expect("a port");
const HEALTH: NonZeroU16 = NonZeroU16::new(8081).expect("a port");

/// Works until a signal ends it; only the leader writes.
///
/// # Errors
/// Whatever keeps it from starting; what happens later is logged, counted and survived.
pub(crate) async fn run(args: ControllerArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    crate::settle::after_start();
    let name = start::name(&args.cluster)?;
    let health = HealthServer::bind(args.cluster.health_listen).await?;
    let client = start::client(&args.cluster, "zeron-controller").await?;
    let counters = Arc::new(Counters::new());
    let mut metrics = Registry::default();
    counters.register(&mut metrics);
    let follower = Follower::start(
        &client,
        FollowOptions {
            reads_credentials: false,
            ..start::follow(&args.cluster, start::sources(&args.cluster))
        },
        Arc::new(Nobody),
    );
    follower.register(&mut metrics);
    let stopped = CancellationToken::new();
    // The API server asks nobody who is not ready: objects would go by unchecked.
    let gate = match args.webhook_listen {
        Some(_) => Gate::new(&[WEBHOOKS]),
        None => Gate::new(&[]),
    };
    let probes = tokio::spawn(health.run(
        Arc::new(gate.clone()),
        Arc::new(metrics),
        stopped.child_token(),
    ));
    let campaign = Lease::campaign(client.clone(), election(&args, &name), counters);
    let webhook = args.webhook_listen.map(|listen| {
        let options = WebhookOptions {
            configuration: args.webhook_configuration.clone(),
            ..WebhookOptions::new(listen, &args.cluster.pod_namespace)
        };
        let gate = gate.clone();
        let is_serving = move || gate.done(WEBHOOKS);
        webhook::run(client.clone(), options, is_serving, stopped.clone())
    });
    let work = Work {
        args,
        name,
        client,
        follower: Arc::new(follower),
    };
    // Every controller answers the API server's questions; the leader alone writes.
    let until = stopped.clone();
    let mut answering = tokio::spawn(async move {
        match webhook {
            Some(webhook) => webhook.await,
            None => {
                until.cancelled().await;
                Ok(())
            }
        }
    });
    tokio::select! {
        () = work.while_leading(campaign.leadership()) => {}
        () = signals.next() => gate.close("it is ending"),
        answered = &mut answering => {
            answered?.context("--webhook-listen chooses the address")?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    campaign.resign().await;
    stopped.cancel();
    probes.await?;
    answering.await??;
    Ok(ExitCode::SUCCESS)
}

/// What the leader does.
struct Work {
    args: ControllerArgs,
    name: String,
    client: Client,
    follower: Arc<Follower>,
}

/// The controller follows objects only to know whose they are.
#[derive(Debug)]
struct Nobody;

impl DeclaredSink for Nobody {
    fn apply(&self, _: Changes) {}
}

impl Work {
    /// Begins with each election and ends with each loss.
    async fn while_leading(&self, mut leadership: watch::Receiver<Leadership>) {
        loop {
            if leadership.wait_for(|it| it.is_leader).await.is_err() {
                return;
            }
            tracing::info!("leading");
            let end = CancellationToken::new();
            // Also when this process ends: nothing is written once the lease is given back.
            let _ends = end.clone().drop_guard();
            let tasks = self.begin(&end);
            let lost = leadership.wait_for(|it| !it.is_leader).await;
            end.cancel();
            tasks.wait().await;
            if lost.is_err() {
                return;
            }
            tracing::warn!("not leading any more");
        }
    }

    fn begin(&self, end: &CancellationToken) -> TaskTracker {
        let cluster = &self.args.cluster;
        let activators =
            follow_activators(self.client.clone(), &cluster.pod_namespace, end.clone());
        let tasks = TaskTracker::new();
        tasks.spawn(services::run(
            self.client.clone(),
            ServicesOptions {
                namespaces: cluster.watch_namespace.clone(),
                instance: self.name.clone(),
                linger: LINGER,
            },
            activators.clone(),
            Arc::new(Workloads::new(self.client.clone())),
            Arc::new(TcpAccepts),
            end.clone(),
        ));
        tasks.spawn(alias::run(
            self.client.clone(),
            AliasOptions {
                namespace: self.args.alias_namespace.clone(),
                namespaces: cluster.watch_namespace.clone(),
                http: HTTP,
                https: None,
                health: HEALTH,
                instance: self.name.clone(),
            },
            activators,
            end.clone(),
        ));
        let follower = Arc::clone(&self.follower);
        tasks.spawn(reconcile::run(
            self.client.clone(),
            ReconcileOptions {
                namespaces: cluster.watch_namespace.clone(),
                scaler_address: ReconcileOptions::SCALER_ADDRESS.to_owned(),
                is_labelled_only: Arc::new(move || follower.is_labelled_only()),
            },
            EventWriter::start(
                self.client.clone(),
                start::reporter("zeron-controller", &self.name),
            ),
            end.clone(),
        ));
        tasks.close();
        tasks
    }
}

/// No request waits for a controller: the usual timing of controllers, which hardly asks anything of the API server.
/// One that ends in order hands over at once.
fn election(args: &ControllerArgs, name: &str) -> LeaseConfig {
    LeaseConfig {
        duration: Duration::from_secs(15),
        renew: Duration::from_secs(5),
        retry: Duration::from_secs(2),
        ..LeaseConfig::new(&args.cluster.pod_namespace, LEASE, name)
    }
}
