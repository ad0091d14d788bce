//! `zeron activator`: the data plane of a cluster.
//!
//! It watches pods and declared objects by itself, so that warm traffic needs nobody else; it
//! reports to every autoscaler, and writes a wake-up itself when none of them answers.

mod ports;
mod wake;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeron_activator::{Activator, ActivatorHandle, Config, Peer, PlatformReason};
use zeron_backend_kubernetes::pods::FollowedPod;
use zeron_backend_kubernetes::scale::Waker;
use zeron_backend_kubernetes::{Counters, Pods};
use zeron_controller::follow::{DeclaredSink, FollowOptions, Follower};
use zeron_controller::projection::Changes;
use zeron_wire::Seconds;
use zeron_wire::client::{ClientConfig, connect};

use super::args::ActivatorArgs;
use super::health::Gate;
use super::reach::Reach;
use super::{Component, discover, start};
use crate::admin::HealthServer;
use crate::signals::Signals;
use ports::Ports;
use wake::{WakeCounts, wake_by_itself};

/// One wake-up's write with its answer.
const WAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Until a port of a function that is taken is tried again.
const PORTS_AGAIN: Duration = Duration::from_secs(30);
/// Where autoscalers hear reports, unless they are at fixed addresses.
const AUTOSCALER_PORT: u16 = 8080;
/// How long the last report and the goodbye may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting; what happens later is logged, counted and survived.
pub(crate) async fn run(args: ActivatorArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    crate::settle::after_start();
    let name = start::name(&args.cluster)?;
    let health = HealthServer::bind(args.cluster.health_listen).await?;
    let client = start::client(&args.cluster, "zeron-activator").await?;
    let counters = Arc::new(Counters::new());
    let pods = Pods::start(
        client.clone(),
        start::pods(&args.cluster),
        Arc::clone(&counters),
    );

    let waker = Waker::new(client.clone(), WAKE_TIMEOUT, Arc::clone(&counters));
    let (wakes, counts) = watch::channel(Arc::new(WakeCounts::default()));
    let link = connect(ClientConfig {
        addresses: autoscalers(&args, &pods),
        token: token(args.autoscaler_token_file.clone()),
        versions: start::versions(),
        on_unanswered: wake_by_itself(waker, pods.clone(), counts),
        ..ClientConfig::new(&name, watch::channel(Vec::new()).1)
    });
    let goodbye = link.sender.clone();
    let activator = Activator::start(config(&args), link).context(
        "the data plane cannot start: --listen, --peer-listen and --tls-listen choose its addresses",
    )?;
    tokio::spawn(follow_peers(name, activator.clone(), peers(&args, &pods)));
    let reach = Reach::new(args.mesh.mode(), activator.sink(), |_| ());
    pods.subscribe(Arc::new(reach.clone()));
    let ports = {
        let activator = activator.clone();
        let listen = move |ports: &_| activator.listen_also(ports);
        Arc::new(Ports::start(listen, PORTS_AGAIN))
    };
    let follower = Follower::start(
        &client,
        FollowOptions {
            reads_credentials: false,
            ..start::follow(&args.cluster, start::sources(&args.cluster))
        },
        reach.before(Arc::new(Publisher {
            pods: pods.clone(),
            activator: activator.clone(),
            ports: Arc::clone(&ports),
            wakes,
        })),
    );

    let gate = Gate::new(&["the pods", "the declared objects"]);
    let mut metrics = Registry::default();
    activator.register(&mut metrics);
    counters.register(&mut metrics);
    follower.register(&mut metrics);
    let stopped = CancellationToken::new();
    let probes = health.run(
        Arc::new(gate.clone()),
        Arc::new(metrics),
        stopped.child_token(),
    );
    let probes = tokio::spawn(probes);
    tokio::select! {
        () = synced(&gate, &pods, &follower, &ports) => {
            activator.say_ready();
            signals.next().await;
        }
        () = signals.next() => {}
    }
    gate.close("it is ending");
    tracing::info!(lame_duck = ?args.lame_duck, grace = ?args.drain_grace, "ending");
    let grace = args.lame_duck + args.drain_grace;
    tokio::select! {
        () = activator.drain(grace) => {}
        () = signals.next() => {
            tracing::warn!("second signal: ending now");
            activator.drain(Duration::ZERO).await;
        }
    }
    start::say_goodbye(goodbye, LAST_WORDS).await;
    stopped.cancel();
    probes.await?;
    Ok(ExitCode::SUCCESS)
}

async fn synced(gate: &Gate, pods: &Pods, follower: &Follower, ports: &Ports) {
    pods.synced().await;
    gate.done("the pods");
    follower.synced().await;
    ports.settled().await;
    gate.done("the declared objects");
    tracing::info!("ready");
}

fn config(args: &ActivatorArgs) -> Config {
    Config {
        peer_listener: Some(args.peer_listen),
        show_platform_reason: match args.show_platform_reason {
            true => PlatformReason::Full,
            false => PlatformReason::ReasonOnly,
        },
        lame_duck: args.lame_duck,
        seconds: Seconds::of_the_clock(),
        holds_until_ready: true,
        ..args.requests.config(args.listen)
    }
}

/// The token is read again for each connection: the platform replaces it long before it expires.
fn token(file: Option<PathBuf>) -> Arc<dyn Fn() -> Option<String> + Send + Sync> {
    Arc::new(move || {
        let file = file.as_ref()?;
        match std::fs::read_to_string(file) {
            Ok(token) => Some(token.trim().to_owned()),
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "cannot read the token");
                None
            }
        }
    })
}

fn autoscalers(args: &ActivatorArgs, pods: &Pods) -> watch::Receiver<Vec<SocketAddr>> {
    if !args.autoscaler.is_empty() {
        return watch::channel(args.autoscaler.clone()).1;
    }
    let found = pods.follow(
        &args.cluster.pod_namespace,
        discover::selector(Component::Autoscaler),
    );
    // Not yet ready ones too: an autoscaler is told of load before it decides.
    discover::map(found, |pods| {
        let address = |pod: &FollowedPod| SocketAddr::new(pod.address, AUTOSCALER_PORT);
        pods.iter().map(address).collect()
    })
}

fn peers(args: &ActivatorArgs, pods: &Pods) -> watch::Receiver<Vec<Peer>> {
    let port = args.peer_listen.port();
    let found = pods.follow(
        &args.cluster.pod_namespace,
        discover::selector(Component::Activator),
    );
    discover::map(found, move |pods| {
        let ready = pods.iter().filter(|pod| pod.is_ready);
        let peer = |pod: &FollowedPod| Peer {
            name: pod.name.to_string(),
            address: SocketAddr::new(pod.address, port),
        };
        ready.map(peer).collect()
    })
}

async fn follow_peers(
    name: String,
    activator: ActivatorHandle,
    mut peers: watch::Receiver<Vec<Peer>>,
) {
    loop {
        let mut others = peers.borrow_and_update().clone();
        others.retain(|peer| peer.name != name);
        activator.set_peers(&name, others);
        if peers.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the pod watch and the data plane what is declared.
#[derive(Debug)]
struct Publisher {
    pods: Pods,
    activator: ActivatorHandle,
    ports: Arc<Ports>,
    wakes: watch::Sender<Arc<WakeCounts>>,
}

impl DeclaredSink for Publisher {
    fn apply(&self, changes: Changes) {
        if let Some(routes) = &changes.routes {
            // Functions are known before their replicas are.
            self.activator.publish(Arc::clone(routes));
        }
        for id in &changes.removed {
            self.pods.forget(id);
        }
        for declared in changes.applied {
            self.pods
                .declare(zeron_backend_kubernetes::ScaleTarget::clone(
                    &declared.target,
                ));
        }
        if let Some(routes) = changes.routes {
            self.ports.want(&routes);
            self.wakes.send_replace(Arc::new(WakeCounts::of(&routes)));
        }
    }
}
