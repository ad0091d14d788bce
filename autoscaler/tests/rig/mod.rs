//! An autoscaler with a back end that only remembers, and activators that report and obey.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;
use zeron_autoscaler::{Engine, EngineConfig, EngineHandle, MonotonicClock};
use zeron_core::function::Protocol;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::{Behavior, HttpScaling, ScalePolicy, Scaling, TriggerGroup, TriggerSpec};
use zeron_core::roles::{BoundTrigger, BoxFuture, TriggerProblem};
use zeron_core::status::FunctionStatus;
use zeron_core::workload::{Port, Workload};
use zeron_core::{
    Backend, Endpoint, EndpointId, EndpointSink, EndpointSnapshot, Function, FunctionId, ObjectRef,
    ScalerRegistry, Stat, Timestamp,
};
use zeron_wire::{
    Authenticate, ClientConfig, Coverage, Drained, Hub, HubConfig, Identity, Refused, Server,
    ServerConfig, ToActivator, ToAutoscaler, Wake, connect,
};

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(PATIENCE, it).await.expect("it takes too long")
}

pub(crate) fn id(name: &str) -> FunctionId {
    FunctionId::new("default", "Deployment", name)
}

/// One replica per request; zero a second after the last.
pub(crate) fn function(name: &str) -> Arc<Function> {
    let source = ObjectRef {
        api_version: "http.keda.sh/v1alpha1".to_owned(),
        kind: "HTTPScaledObject".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    };
    let mut behavior = Behavior::default();
    behavior.scale_down.stabilization = Duration::ZERO;
    let scaling = Scaling::Http(HttpScaling {
        concurrency: Some(1.0),
        request_rate: None,
        cooldown: Duration::from_secs(1),
        initial_cooldown: Duration::ZERO,
        behavior,
    });
    Arc::new(Function {
        workload: Workload {
            command: vec!["run".to_owned()],
            port: Some(Port::Assigned),
            ..Workload::default()
        },
        scale: ScalePolicy {
            groups: vec![TriggerGroup {
                source: source.clone(),
                min: 0,
                max: None,
                scaling,
            }],
            ..ScalePolicy::default()
        },
        ..Function::new(id(name), source, Protocol::Http1)
    })
}

// === back end ===

/// Replicas are ready at once.
#[derive(Debug, Default)]
pub(crate) struct FakeBackend {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    sinks: Vec<Arc<dyn EndpointSink>>,
    asked: Vec<u32>,
    next: u64,
    replicas: Vec<EndpointId>,
}

impl FakeBackend {
    /// Every count that was asked for.
    pub(crate) fn asked(&self) -> Vec<u32> {
        self.state.lock().asked.clone()
    }
}

impl Backend for FakeBackend {
    fn apply(&self, _: Arc<Function>) {}

    fn remove(&self, _: &FunctionId) {}

    fn scale(&self, function: &FunctionId, replicas: u32, victims: &[EndpointId]) {
        let mut state = self.state.lock();
        let count = usize::try_from(replicas).unwrap();
        state.asked.push(replicas);
        state.replicas.retain(|replica| !victims.contains(replica));
        state.replicas.truncate(count);
        while state.replicas.len() < count {
            state.next += 1;
            let replica = EndpointId(state.next);
            state.replicas.push(replica);
        }
        let endpoints = state.replicas.iter().map(|replica| Endpoint {
            id: *replica,
            address: None,
            is_ready: true,
            is_draining: false,
            probe: None,
            is_probe_needed: false,
            replicas: 1,
            shared_by: 1,
        });
        let snapshot = Arc::new(EndpointSnapshot {
            endpoints: endpoints.collect(),
            ..EndpointSnapshot::default()
        });
        for sink in &state.sinks {
            sink.publish(function, Some(Arc::clone(&snapshot)));
        }
        drop(state);
        self.changed.notify_one();
    }

    fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.state.lock().sinks.push(sink);
    }
}

#[derive(Debug)]
struct NoSources;

impl ScalerRegistry for NoSources {
    fn validate(&self, _: &TriggerSpec) -> Vec<TriggerProblem> {
        Vec::new()
    }

    fn bind(&self, _: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        Err(Unknown {
            kind: UnknownKind::Configuration,
            message: "no sources here".to_owned(),
        })
    }
}

// === autoscaler ===

struct Anybody;

impl Authenticate for Anybody {
    fn check<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Identity, Refused>> {
        let identity = Identity {
            subject: "activator".to_owned(),
            name: None,
            uid: None,
        };
        Box::pin(std::future::ready(Ok(identity)))
    }
}

pub(crate) struct Autoscaler {
    pub(crate) address: SocketAddr,
    pub(crate) engine: EngineHandle,
    pub(crate) backend: Arc<FakeBackend>,
    hub: Hub,
    _expected: watch::Sender<Option<BTreeSet<String>>>,
}

impl Autoscaler {
    pub(crate) async fn start(expected: Option<BTreeSet<String>>) -> Self {
        let (hub, link) = Hub::start(HubConfig::default());
        let (told, expected) = watch::channel(expected);
        hub.expect(expected);
        let backend = Arc::new(FakeBackend::default());
        backend.subscribe(Arc::new(hub.clone()));
        let engine = Engine::start(
            EngineConfig::default(),
            Arc::clone(&backend) as Arc<dyn Backend>,
            Arc::new(NoSources),
            link,
            Arc::new(MonotonicClock::new()),
        );
        let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
        let server = Server::bind(config, Arc::new(Anybody), hub.clone())
            .await
            .unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(server.serve(std::future::pending()));
        Self {
            address,
            engine: engine.unwrap(),
            backend,
            hub,
            _expected: told,
        }
    }

    pub(crate) async fn covered(&self, coverage: &Coverage) {
        let mut hub = self.hub.coverage();
        soon(hub.wait_for(|it| it == coverage)).await.unwrap();
    }

    /// Waits until the counts that were asked for are so.
    pub(crate) async fn asked(&self, is_so: impl Fn(&[u32]) -> bool) {
        let wait = async {
            while !is_so(&self.backend.asked()) {
                self.backend.changed.notified().await;
            }
        };
        let result = timeout(PATIENCE, wait).await;
        assert!(result.is_ok(), "asked for {:?}", self.backend.asked());
    }

    /// Waits until the status of `f` is so; a decision a second is enough to look again.
    pub(crate) async fn status(&mut self, is_so: impl Fn(&FunctionStatus) -> bool) {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        soon(async {
            while !self.engine.status(&id("f")).is_some_and(|it| is_so(&it)) {
                look.tick().await;
            }
        })
        .await;
    }
}

impl Drop for Autoscaler {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

// === activator ===

#[derive(Default)]
struct Seen {
    load: (f64, u32),
    drained: Vec<Vec<EndpointId>>,
    unanswered: Vec<Wake>,
    woken: HashMap<FunctionId, u32>,
}

/// Reports the same load ten times a second and acknowledges every drain.
pub(crate) struct Activator {
    sender: mpsc::Sender<ToAutoscaler>,
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
    _addresses: watch::Sender<Vec<SocketAddr>>,
}

impl Activator {
    pub(crate) fn start(name: &str, autoscaler: SocketAddr, load: (f64, u32)) -> Self {
        let (told, addresses) = watch::channel(vec![autoscaler]);
        let seen = Arc::new(Mutex::new(Seen {
            load,
            ..Seen::default()
        }));
        let changed = Arc::new(Notify::new());
        let (calls, called) = (Arc::clone(&seen), Arc::clone(&changed));
        let link = connect(ClientConfig {
            on_unanswered: Arc::new(move |wake| {
                calls.lock().unanswered.push(wake);
                called.notify_one();
            }),
            ..ClientConfig::new(name, addresses)
        });
        let sender = link.sender.clone();
        let task = tokio::spawn(live(link, Arc::clone(&seen), Arc::clone(&changed)));
        Self {
            sender,
            seen,
            changed,
            task,
            _addresses: told,
        }
    }

    pub(crate) fn load(&self, concurrency: f64, in_flight: u32) {
        self.seen.lock().load = (concurrency, in_flight);
    }

    pub(crate) fn drained(&self) -> Vec<Vec<EndpointId>> {
        self.seen.lock().drained.clone()
    }

    pub(crate) fn unanswered(&self) -> Vec<Wake> {
        self.seen.lock().unanswered.clone()
    }

    pub(crate) async fn wake(&self, name: &str) {
        let wake = Wake {
            function: id(name),
            in_flight: 0,
            queued: 1,
        };
        self.sender.send(ToAutoscaler::Wake(wake)).await.unwrap();
    }

    pub(crate) async fn woken(&self) {
        while self.seen.lock().woken.is_empty() {
            self.changed.notified().await;
        }
    }

    pub(crate) async fn left_alone(&self) {
        while self.seen.lock().unanswered.is_empty() {
            self.changed.notified().await;
        }
    }

    /// Says goodbye and waits until it is written.
    pub(crate) async fn part(mut self) {
        self.sender.send(ToAutoscaler::Goodbye).await.unwrap();
        (&mut self.task).await.unwrap();
    }
}

/// Killed.
impl Drop for Activator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn live(mut link: zeron_wire::ActivatorLink, seen: Arc<Mutex<Seen>>, changed: Arc<Notify>) {
    let mut every = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            _ = every.tick() => {
                let (average_concurrency, in_flight) = seen.lock().load;
                let stat = Stat {
                    function: id("f"),
                    at: Timestamp::EPOCH,
                    average_concurrency,
                    request_count: 0.0,
                    in_flight,
                    queued: 0,
                    busy: Vec::new(),
                };
                let stats = if in_flight > 0 { vec![stat] } else { Vec::new() };
                drop(link.sender.try_send(ToAutoscaler::Stats(stats)));
            }
            order = link.receiver.recv() => match order {
                Some(ToActivator::Drain(drain)) => {
                    let endpoints = drain.victims.clone().unwrap_or_default();
                    seen.lock().drained.push(endpoints.clone());
                    let answer = Drained { id: drain.id, function: drain.function, endpoints };
                    link.sender.send(ToAutoscaler::Drained(answer)).await.unwrap();
                }
                Some(ToActivator::Woken(function)) => {
                    *seen.lock().woken.entry(function).or_default() += 1;
                }
                Some(ToActivator::Cancel(_) | ToActivator::Settled(_)) => {}
                None => return,
            },
        }
        changed.notify_one();
    }
}
