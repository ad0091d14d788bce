//! Sources that answer what they are told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::ScalerRegistry;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, BoxFuture, Scaler, TriggerHandle, TriggerProblem};

#[derive(Clone, Debug)]
enum Script {
    Value(f64),
    Fail(Unknown),
    Hang,
}

/// Triggers are told apart by their `topic`; each is a source of its own unless they share one.
#[derive(Debug, Default)]
pub(in super::super) struct FakeRegistry {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    scripts: BTreeMap<String, Script>,
    topics: Vec<String>,
    batches: Vec<usize>,
    watchers: Vec<(String, TriggerHandle, Watcher)>,
    trouble: Option<String>,
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
    pub(in super::super) fn answer(&self, topic: &str, answer: Result<f64, (UnknownKind, &str)>) {
        let script = match answer {
            Ok(value) => Script::Value(value),
            Err((kind, message)) => Script::Fail(Unknown {
                kind,
                message: message.to_owned(),
            }),
        };
        self.world.lock().scripts.insert(topic.to_owned(), script);
    }

    pub(in super::super) fn hang(&self, topic: &str) {
        let mut world = self.world.lock();
        world.scripts.insert(topic.to_owned(), Script::Hang);
    }

    pub(in super::super) fn refuse(&self, is_refusing: bool) {
        self.world.lock().is_refusing = is_refusing;
    }

    pub(in super::super) fn share_source(&self) {
        self.world.lock().is_shared = true;
    }

    /// Sizes of all reads.
    pub(in super::super) fn batches(&self) -> Vec<usize> {
        self.world.lock().batches.clone()
    }

    pub(in super::super) fn released(&self) -> usize {
        self.world.lock().released
    }

    /// Nothing is pushed, for this reason.
    pub(in super::super) fn trouble(&self, trouble: Option<&str>) {
        self.world.lock().trouble = trouble.map(str::to_owned);
    }

    pub(in super::super) fn push(&self, topic: &str) {
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

    fn push_trouble(&self, _: TriggerHandle) -> Option<String> {
        self.0.lock().trouble.clone()
    }

    fn release(&self, _: TriggerHandle) {
        self.0.lock().released += 1;
    }
}
