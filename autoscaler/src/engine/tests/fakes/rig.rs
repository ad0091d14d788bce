//! An engine, and the activator's end of its link.

use std::sync::Arc;
use std::time::Duration;

use zeron_core::{Backend, Function, ScalerRegistry, Stat, Timestamp};
use zeron_wire::{ActivatorLink, Drain, Drained, ToActivator, ToAutoscaler, Wake};

use super::{FakeBackend, FakeRegistry, id};
use crate::engine::task::Task;
use crate::engine::{Engine, EngineConfig, EngineHandle, MonotonicClock};

/// A running engine, and the activator's end of its link.
pub(in super::super) struct Rig {
    pub(in super::super) handle: EngineHandle,
    pub(in super::super) backend: Arc<FakeBackend>,
    pub(in super::super) registry: Arc<FakeRegistry>,
    link: Option<ActivatorLink>,
}

/// An engine that is not running: its task is called by the test.
pub(in super::super) struct IdleRig {
    pub(in super::super) handle: EngineHandle,
    pub(in super::super) task: Task,
    pub(in super::super) registry: Arc<FakeRegistry>,
}

impl Rig {
    pub(in super::super) fn start() -> Self {
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

    pub(in super::super) fn idle() -> IdleRig {
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

    pub(in super::super) fn apply(&mut self, function: Function) {
        self.handle.apply(Arc::new(function));
    }

    pub(in super::super) async fn send(&mut self, message: ToAutoscaler) {
        let link = self.link.as_ref().unwrap();
        link.sender.send(message).await.unwrap();
    }

    pub(in super::super) async fn wake(&mut self, name: &str, in_flight: u32, queued: u32) {
        let function = id(name);
        self.send(ToAutoscaler::Wake(Wake {
            function,
            in_flight,
            queued,
        }))
        .await;
    }

    pub(in super::super) async fn report(
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
    pub(in super::super) async fn silence(&mut self) {
        self.send(ToAutoscaler::Stats(Vec::new())).await;
    }

    /// The next order that is about a drain.
    pub(in super::super) async fn order(&mut self) -> ToActivator {
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
    pub(in super::super) fn orders(&mut self) -> Vec<ToActivator> {
        let link = self.link.as_mut().unwrap();
        std::iter::from_fn(|| link.receiver.try_recv().ok()).collect()
    }

    /// The next drain, within so much time.
    pub(in super::super) async fn drain(&mut self, within: Duration) -> Drain {
        match self.order_within(within).await {
            ToActivator::Drain(drain) => drain,
            order => panic!("{order:?}"),
        }
    }

    pub(in super::super) async fn drained(&mut self, drain: &Drain) {
        self.send(ToAutoscaler::Drained(Drained {
            id: drain.id,
            function: drain.function.clone(),
            endpoints: Vec::new(),
        }))
        .await;
    }

    pub(in super::super) fn disconnect(&mut self) {
        self.link = None;
    }
}

/// An engine on its own thread.
pub(in super::super) fn start_threaded() -> (EngineHandle, Arc<FakeBackend>, ActivatorLink) {
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
