//! A back end whose replicas are ready at once, sources that answer what they are told, and a rig
//! that plays the activator.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use zeron_core::function::{AdmissionPolicy, Protocol, Timeouts};
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::{ScalePolicy, TriggerGroup, TriggerSpec};
use zeron_core::roles::{BoundTrigger, BoxFuture, Scaler, TriggerHandle, TriggerProblem};
use zeron_core::workload::{Port, ReadinessProbe, ResourceLimits, Workload};
use zeron_core::{
    Backend, Endpoint, EndpointId, EndpointSink, EndpointSnapshot, Function, FunctionId,
    ScalerRegistry, Stat, Timestamp,
};
use zeron_wire::{ActivatorLink, Drain, Drained, ToActivator, ToAutoscaler, Wake};

use crate::engine::task::Task;
use crate::engine::{Engine, EngineConfig, EngineHandle, MonotonicClock};
use crate::testkit::source;

/// Lets every task run until it waits; no time passes.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn id(name: &str) -> FunctionId {
    FunctionId::new("default", "Deployment", name)
}

pub(super) fn function(name: &str, groups: Vec<TriggerGroup>) -> Function {
    Function {
        id: id(name),
        owner: source("Deployment"),
        workload: Workload {
            command: vec!["run".to_owned()],
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            image: None,
            port: Some(Port::Assigned),
            readiness: ReadinessProbe::default(),
            limits: ResourceLimits::default(),
            termination_grace: Duration::from_secs(30),
            start_deadline: Duration::from_secs(600),
        },
        protocol: Protocol::Http1,
        concurrency_limit: None,
        timeouts: Timeouts::default(),
        scale: ScalePolicy {
            groups,
            ..ScalePolicy::default()
        },
        admission: AdmissionPolicy::default(),
    }
}

// === back end ===

#[derive(Debug, Default)]
pub(super) struct FakeBackend {
    state: Mutex<BackendState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BackendState {
    sink: Option<Arc<dyn EndpointSink>>,
    asked: HashMap<FunctionId, Vec<u32>>,
    replicas: HashMap<FunctionId, Vec<EndpointId>>,
    /// Functions whose newest replicas go first, as the platform chooses.
    ordered: HashSet<FunctionId>,
    /// What is asked for cannot be taken back: it is being written.
    is_writing: bool,
    withdrawn: Vec<FunctionId>,
    next: u64,
}

impl FakeBackend {
    /// The platform chooses the replicas of `name` that go.
    pub(super) fn order(&self, name: &str) {
        self.state.lock().ordered.insert(id(name));
    }

    /// Every count that was asked for.
    pub(super) fn asked(&self, name: &str) -> Vec<u32> {
        let state = self.state.lock();
        state.asked.get(&id(name)).cloned().unwrap_or_default()
    }

    /// Waits for the first count that is asked for.
    pub(super) fn wait_asked(&self, name: &str, timeout: Duration) -> Option<u32> {
        let mut state = self.state.lock();
        let is_missing = |state: &mut BackendState| !state.asked.contains_key(&id(name));
        self.changed.wait_while_for(&mut state, is_missing, timeout);
        state.asked.get(&id(name))?.first().copied()
    }

    /// The platform's own count, whoever wrote it.
    pub(super) fn declare(&self, name: &str, count: u32) {
        let sink = self.state.lock().sink.clone();
        sink.unwrap().declared(&id(name), count);
    }

    /// Fewer replicas than were asked for: a quota.
    pub(super) fn starve(&self, name: &str, runs: u32, pending: u32) {
        self.state.lock().resize(&id(name), runs, &[]);
        let state = self.state.lock();
        let replicas = state.replicas[&id(name)].iter();
        let snapshot = EndpointSnapshot {
            endpoints: replicas.map(|id| ready(*id)).collect(),
            pending,
            share: None,
            failure: Some(zeron_core::StartFailure {
                reason: "FailedCreate".to_owned(),
                message: "exceeded quota".to_owned(),
                at: Timestamp::EPOCH,
                retry_at: None,
                is_final: false,
            }),
        };
        let sink = state.sink.clone();
        drop(state);
        sink.unwrap().publish(&id(name), Some(Arc::new(snapshot)));
    }

    /// None runs, and says why not where it `failed` for good.
    pub(super) fn fail(&self, name: &str, failed: bool) {
        let failure = zeron_core::StartFailure {
            reason: "CrashLoopBackOff".to_owned(),
            message: "exit code 3".to_owned(),
            at: Timestamp::EPOCH,
            retry_at: None,
            is_final: true,
        };
        let snapshot = EndpointSnapshot {
            endpoints: Vec::new(),
            pending: 0,
            share: None,
            failure: failed.then_some(failure),
        };
        let sink = self.state.lock().sink.clone();
        sink.unwrap().publish(&id(name), Some(Arc::new(snapshot)));
    }

    /// Whether what is asked for is being written, and cannot be taken back.
    pub(super) fn write(&self, is_writing: bool) {
        self.state.lock().is_writing = is_writing;
    }

    /// How often what was asked for was taken back.
    pub(super) fn withdrawn(&self, name: &str) -> usize {
        let state = self.state.lock();
        let withdrawn = state.withdrawn.iter();
        withdrawn.filter(|function| **function == id(name)).count()
    }

    /// Makes so many replicas run although nobody asked.
    pub(super) fn run(&self, name: &str, count: u32) {
        self.state.lock().resize(&id(name), count, &[]);
    }
}

fn ready(id: EndpointId) -> Endpoint {
    Endpoint {
        id,
        address: None,
        is_ready: true,
        is_draining: false,
        probe: None,
        is_probe_needed: false,
        replicas: 1,
        shared_by: 1,
    }
}

impl BackendState {
    fn resize(&mut self, function: &FunctionId, count: u32, victims: &[EndpointId]) {
        let count = usize::try_from(count).unwrap();
        let replicas = self.replicas.entry(function.clone()).or_default();
        if replicas.len() > count {
            replicas.retain(|replica| !victims.contains(replica));
            replicas.truncate(count);
        }
        while replicas.len() < count {
            self.next += 1;
            replicas.push(EndpointId(self.next));
        }
        let endpoints = replicas.iter().map(|replica| ready(*replica));
        let snapshot = EndpointSnapshot {
            endpoints: endpoints.collect(),
            pending: 0,
            share: None,
            failure: None,
        };
        if let Some(sink) = &self.sink {
            sink.publish(function, Some(Arc::new(snapshot)));
        }
    }
}

impl Backend for FakeBackend {
    fn apply(&self, _: Arc<Function>) {}

    fn remove(&self, _: &FunctionId) {}

    fn scale(&self, function: &FunctionId, replicas: u32, victims: &[EndpointId]) {
        let mut state = self.state.lock();
        state
            .asked
            .entry(function.clone())
            .or_default()
            .push(replicas);
        state.resize(function, replicas, victims);
        self.changed.notify_all();
    }

    fn withdraw(&self, function: &FunctionId) -> bool {
        let mut state = self.state.lock();
        state.withdrawn.push(function.clone());
        !state.is_writing
    }

    fn predicted_victims(&self, function: &FunctionId, replicas: u32) -> Option<Vec<EndpointId>> {
        let state = self.state.lock();
        let all = state.replicas.get(function)?;
        let left = usize::try_from(replicas).unwrap();
        let is_ordered = state.ordered.contains(function);
        is_ordered.then(|| all.get(left..).unwrap_or_default().to_vec())
    }

    fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.state.lock().sink = Some(sink);
    }
}

// === sources ===

#[derive(Clone, Debug)]
enum Script {
    Value(f64),
    Fail(Unknown),
    Hang,
}

/// Triggers are told apart by their `topic`; each is a source of its own unless they share one.
#[derive(Debug, Default)]
pub(super) struct FakeRegistry {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    scripts: BTreeMap<String, Script>,
    topics: Vec<String>,
    batches: Vec<usize>,
    watchers: Vec<(String, TriggerHandle, Watcher)>,
    released: usize,
    is_refusing: bool,
    is_shared: bool,
}

type Watcher = Arc<dyn Fn(TriggerHandle) + Send + Sync>;

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("scripts", &self.scripts)
            .finish_non_exhaustive()
    }
}

impl FakeRegistry {
    pub(super) fn answer(&self, topic: &str, answer: Result<f64, (UnknownKind, &str)>) {
        let script = match answer {
            Ok(value) => Script::Value(value),
            Err((kind, message)) => Script::Fail(Unknown {
                kind,
                message: message.to_owned(),
            }),
        };
        self.world.lock().scripts.insert(topic.to_owned(), script);
    }

    pub(super) fn hang(&self, topic: &str) {
        let mut world = self.world.lock();
        world.scripts.insert(topic.to_owned(), Script::Hang);
    }

    pub(super) fn refuse(&self, is_refusing: bool) {
        self.world.lock().is_refusing = is_refusing;
    }

    pub(super) fn share_source(&self) {
        self.world.lock().is_shared = true;
    }

    /// Sizes of all reads.
    pub(super) fn batches(&self) -> Vec<usize> {
        self.world.lock().batches.clone()
    }

    pub(super) fn released(&self) -> usize {
        self.world.lock().released
    }

    pub(super) fn push(&self, topic: &str) {
        let watchers: Vec<_> = {
            let world = self.world.lock();
            let of_topic = world.watchers.iter().filter(|(other, ..)| other == topic);
            of_topic
                .map(|(_, handle, watcher)| (*handle, Arc::clone(watcher)))
                .collect()
        };
        for (handle, watcher) in watchers {
            watcher(handle);
        }
    }
}

impl ScalerRegistry for FakeRegistry {
    fn validate(&self, _: &TriggerSpec) -> Vec<TriggerProblem> {
        Vec::new()
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let mut world = self.world.lock();
        if world.is_refusing {
            return Err(Unknown {
                kind: UnknownKind::Configuration,
                message: "not built in".to_owned(),
            });
        }
        let topic = trigger.metadata["topic"].clone();
        world.topics.push(topic.clone());
        let source = if world.is_shared {
            "all"
        } else {
            topic.as_str()
        };
        Ok(BoundTrigger {
            source: Arc::from(source),
            scaler: Arc::new(FakeScaler(Arc::clone(&self.world))),
            handle: TriggerHandle(world.topics.len() as u64 - 1),
        })
    }
}

#[derive(Debug)]
struct FakeScaler(Arc<Mutex<World>>);

impl FakeScaler {
    fn script(&self, trigger: TriggerHandle) -> (String, Script) {
        let world = self.0.lock();
        let topic = world.topics[usize::try_from(trigger.0).unwrap()].clone();
        let script = world.scripts.get(&topic).cloned();
        (topic, script.unwrap_or(Script::Value(0.0)))
    }
}

impl Scaler for FakeScaler {
    fn evaluate<'a>(
        &'a self,
        triggers: &'a [TriggerHandle],
        _: Duration,
    ) -> BoxFuture<'a, Vec<Result<Vec<MetricReading>, Unknown>>> {
        self.0.lock().batches.push(triggers.len());
        Box::pin(async move {
            let mut answers = Vec::new();
            for trigger in triggers {
                let (topic, script) = self.script(*trigger);
                answers.push(match script {
                    Script::Value(value) => Ok(vec![MetricReading {
                        metric: format!("kafka-{topic}"),
                        value,
                        target: 10.0,
                        activity: Activity::Above {
                            value,
                            threshold: 0.0,
                        },
                    }]),
                    Script::Fail(unknown) => Err(unknown),
                    Script::Hang => std::future::pending().await,
                });
            }
            answers
        })
    }

    fn watch(&self, trigger: TriggerHandle, on_change: Watcher) -> bool {
        let (topic, _) = self.script(trigger);
        self.0.lock().watchers.push((topic, trigger, on_change));
        true
    }

    fn release(&self, _: TriggerHandle) {
        self.0.lock().released += 1;
    }
}

// === rig ===

/// A running engine, and the activator's end of its link.
pub(super) struct Rig {
    pub(super) handle: EngineHandle,
    pub(super) backend: Arc<FakeBackend>,
    pub(super) registry: Arc<FakeRegistry>,
    link: Option<ActivatorLink>,
}

/// An engine that is not running: its task is called by the test.
pub(super) struct IdleRig {
    pub(super) handle: EngineHandle,
    pub(super) task: Task,
    pub(super) registry: Arc<FakeRegistry>,
}

impl Rig {
    pub(super) fn start() -> Self {
        let (link, engine_link) = zeron_wire::link();
        let backend = Arc::new(FakeBackend::default());
        let registry = Arc::new(FakeRegistry::default());
        let (handle, run) = Engine::prepare(
            &EngineConfig::default(),
            Arc::clone(&backend) as Arc<dyn Backend>,
            Arc::clone(&registry) as Arc<dyn ScalerRegistry>,
            engine_link,
            Arc::new(MonotonicClock::new()),
        );
        tokio::spawn(run);
        Self {
            handle,
            backend,
            registry,
            link: Some(link),
        }
    }

    pub(super) fn idle() -> IdleRig {
        let (_, engine_link) = zeron_wire::link();
        let registry = Arc::new(FakeRegistry::default());
        let config = EngineConfig::default();
        let backend: Arc<dyn Backend> = Arc::new(FakeBackend::default());
        let sources = Arc::clone(&registry) as Arc<dyn ScalerRegistry>;
        let clock = Arc::new(MonotonicClock::new());
        let (other_link, unused) = (zeron_wire::link().1, Arc::clone(&backend));
        let prepared = Engine::prepare(&config, unused, sources.clone(), other_link, clock.clone());
        let handle = prepared.0;
        let task = Task::new(
            &config,
            handle.clone(),
            backend,
            sources,
            engine_link,
            clock,
        );
        IdleRig {
            handle,
            task,
            registry,
        }
    }

    pub(super) fn apply(&mut self, function: Function) {
        self.handle.apply(Arc::new(function));
    }

    pub(super) async fn send(&mut self, message: ToAutoscaler) {
        let link = self.link.as_ref().unwrap();
        link.sender.send(message).await.unwrap();
    }

    pub(super) async fn wake(&mut self, name: &str, in_flight: u32, queued: u32) {
        let function = id(name);
        self.send(ToAutoscaler::Wake(Wake {
            function,
            in_flight,
            queued,
        }))
        .await;
    }

    pub(super) async fn report(
        &mut self,
        name: &str,
        average_concurrency: f64,
        requests: u32,
        in_flight: u32,
        queued: u32,
    ) {
        let stat = Stat {
            function: id(name),
            at: Timestamp::EPOCH,
            average_concurrency,
            request_count: f64::from(requests),
            in_flight,
            queued,
            busy: Vec::new(),
        };
        self.send(ToAutoscaler::Stats(vec![stat])).await;
    }

    /// Connected, and no requests anywhere.
    pub(super) async fn silence(&mut self) {
        self.send(ToAutoscaler::Stats(Vec::new())).await;
    }

    /// The next order that is about a drain.
    pub(super) async fn order(&mut self) -> ToActivator {
        self.order_within(Duration::from_secs(1)).await
    }

    async fn order_within(&mut self, within: Duration) -> ToActivator {
        let link = self.link.as_mut().unwrap();
        let order = async {
            loop {
                match link.receiver.recv().await.unwrap() {
                    ToActivator::Woken(_) | ToActivator::Settled(_) => {}
                    order => return order,
                }
            }
        };
        tokio::time::timeout(within, order).await.unwrap()
    }

    /// Every order that is there now.
    pub(super) fn orders(&mut self) -> Vec<ToActivator> {
        let link = self.link.as_mut().unwrap();
        std::iter::from_fn(|| link.receiver.try_recv().ok()).collect()
    }

    /// The next drain, within so much time.
    pub(super) async fn drain(&mut self, within: Duration) -> Drain {
        match self.order_within(within).await {
            ToActivator::Drain(drain) => drain,
            order => panic!("{order:?}"),
        }
    }

    pub(super) async fn drained(&mut self, drain: &Drain) {
        self.send(ToAutoscaler::Drained(Drained {
            id: drain.id,
            function: drain.function.clone(),
            endpoints: Vec::new(),
        }))
        .await;
    }

    pub(super) fn disconnect(&mut self) {
        self.link = None;
    }
}

/// An engine on its own thread.
pub(super) fn start_threaded() -> (EngineHandle, Arc<FakeBackend>, ActivatorLink) {
    let (link, engine_link) = zeron_wire::link();
    let backend = Arc::new(FakeBackend::default());
    let handle = Engine::start(
        EngineConfig::default(),
        Arc::clone(&backend) as Arc<dyn Backend>,
        Arc::new(FakeRegistry::default()),
        engine_link,
        Arc::new(MonotonicClock::new()),
    );
    (handle.unwrap(), backend, link)
}
