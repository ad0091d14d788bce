//! Activators and an autoscaler's end over real loopback sockets.
#![allow(clippy::unwrap_used, dead_code)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use zeron_core::roles::BoxFuture;
use zeron_core::{
    Endpoint, EndpointId, EndpointSink, EndpointSnapshot, FunctionId, Stat, Timestamp,
};
use zeron_wire::{
    ActivatorLink, Authenticate, AutoscalerLink, ClientConfig, Coverage, Drain, DrainId, Drained,
    Hub, HubConfig, Identity, Refused, Server, ServerConfig, ToActivator, ToAutoscaler, Wake,
    connect,
};

pub(crate) const TOKEN: &str = "secret";
/// Nothing on loopback takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(PATIENCE, it).await.expect("it takes too long")
}

pub(crate) fn id(name: &str) -> FunctionId {
    FunctionId::new("default", "Deployment", name)
}

pub(crate) fn stat(name: &str, concurrency: f64, in_flight: u32) -> Stat {
    Stat {
        function: id(name),
        at: Timestamp::EPOCH,
        average_concurrency: concurrency,
        request_count: concurrency,
        in_flight,
        queued: 0,
        busy: vec![(EndpointId(1), in_flight)],
    }
}

pub(crate) fn wake(name: &str) -> Wake {
    Wake {
        function: id(name),
        in_flight: 0,
        queued: 1,
    }
}

/// Lets in whoever has the one token.
pub(crate) struct OneToken;

impl Authenticate for OneToken {
    fn check<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Identity, Refused>> {
        Box::pin(async move {
            match token {
                Some(TOKEN) => Ok(Identity {
                    subject: "activator".to_owned(),
                    name: None,
                    uid: None,
                }),
                _ => Err(Refused::Unauthenticated("not the token".to_owned())),
            }
        })
    }
}

/// An autoscaler without an engine: the test plays it.
pub(crate) struct Autoscaler {
    pub(crate) address: SocketAddr,
    pub(crate) hub: Hub,
    pub(crate) engine: AutoscalerLink,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl Autoscaler {
    pub(crate) async fn start() -> Self {
        Self::start_with(ServerConfig::new("127.0.0.1:0".parse().unwrap())).await
    }

    pub(crate) async fn start_with(config: ServerConfig) -> Self {
        let (hub, engine) = Hub::start(HubConfig::default());
        let server = Server::bind(config, Arc::new(OneToken), hub.clone())
            .await
            .unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async {
            drop(stopped.await);
        }));
        Self {
            address,
            hub,
            engine,
            stop: Some(stop),
            served,
        }
    }

    /// Closes every connection.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        soon(self.served).await.unwrap();
    }

    pub(crate) async fn covered(&self, is_complete: bool) -> Coverage {
        let mut coverage = self.hub.coverage();
        let is_so = |it: &Coverage| (*it == Coverage::Complete) == is_complete;
        soon(coverage.wait_for(is_so)).await.unwrap().clone()
    }

    /// The first message that this takes.
    pub(crate) async fn hear<T>(&mut self, mut take: impl FnMut(ToAutoscaler) -> Option<T>) -> T {
        soon(async {
            loop {
                if let Some(taken) = take(self.engine.receiver.recv().await.unwrap()) {
                    return taken;
                }
            }
        })
        .await
    }
}

/// An activator's end of its connections, with everything it is called for.
pub(crate) struct Activator {
    pub(crate) link: ActivatorLink,
    pub(crate) unanswered: mpsc::Receiver<Wake>,
    pub(crate) addresses: watch::Sender<Vec<SocketAddr>>,
}

pub(crate) fn client(name: &str, addresses: &[SocketAddr]) -> (ClientConfig, Activator0) {
    let (told, addresses) = watch::channel(addresses.to_vec());
    let (calls, unanswered) = mpsc::channel(1_000);
    let config = ClientConfig {
        token: Arc::new(|| Some(TOKEN.to_owned())),
        on_unanswered: Arc::new(move |wake| drop(calls.try_send(wake))),
        ..ClientConfig::new(name, addresses)
    };
    (config, Activator0(told, unanswered))
}

/// What of an activator is there before it connects.
pub(crate) struct Activator0(watch::Sender<Vec<SocketAddr>>, mpsc::Receiver<Wake>);

impl Activator {
    pub(crate) fn start(name: &str, addresses: &[SocketAddr]) -> Self {
        let (config, it) = client(name, addresses);
        Self::with(config, it)
    }

    pub(crate) fn with(config: ClientConfig, it: Activator0) -> Self {
        Self {
            link: connect(config),
            addresses: it.0,
            unanswered: it.1,
        }
    }

    pub(crate) async fn send(&self, message: ToAutoscaler) {
        self.link.sender.send(message).await.unwrap();
    }

    pub(crate) async fn order(&mut self) -> ToActivator {
        soon(self.link.receiver.recv()).await.unwrap()
    }

    /// Reports the same every 100 ms for as long as the guard lives.
    pub(crate) fn keep_reporting(&self, stats: Vec<Stat>) -> Reporting {
        let sender = self.link.sender.clone();
        Reporting(tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(100));
            loop {
                every.tick().await;
                if sender
                    .send(ToAutoscaler::Stats(stats.clone()))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }))
    }
}

pub(crate) struct Reporting(tokio::task::JoinHandle<()>);

impl Drop for Reporting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn publish(autoscaler: &Autoscaler, names: &[u64]) {
    let endpoints = names.iter().map(|name| Endpoint {
        id: EndpointId(*name),
        address: None,
        is_ready: true,
        is_draining: false,
        probe: None,
        is_probe_needed: false,
        replicas: 1,
        shared_by: 1,
    });
    let snapshot = EndpointSnapshot {
        endpoints: endpoints.collect(),
        ..EndpointSnapshot::default()
    };
    autoscaler.hub.publish(&id("f"), Some(snapshot.into()));
}

pub(crate) fn drain(name: u64, count: u32) -> ToActivator {
    ToActivator::Drain(Drain {
        id: DrainId(name),
        function: id("f"),
        count,
        victims: None,
    })
}

pub(crate) async fn told(activator: &mut Activator) -> Drain {
    match activator.order().await {
        ToActivator::Drain(drain) => drain,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn acknowledge(activator: &Activator, drain: &Drain) {
    let answer = Drained {
        id: drain.id,
        function: drain.function.clone(),
        endpoints: drain.victims.clone().unwrap_or_default(),
    };
    activator.send(ToAutoscaler::Drained(answer)).await;
}

pub(crate) fn is_drained(message: ToAutoscaler) -> Option<Drained> {
    match message {
        ToAutoscaler::Drained(answer) => Some(answer),
        _ => None,
    }
}
