//! Keeps the status of the objects whose functions are ours as the engine sees them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep};
use zeron_autoscaler::{Clock, EngineHandle, MonotonicClock};
use zeron_controller::events::{EventWriter, Notice, of_status};
use zeron_controller::follow::Follower;
use zeron_controller::projection::{ObjectKey, ObjectReport, Outcome};
use zeron_controller::status::{Observation, StatusWriter, StatusWriterOptions, patch};
use zeron_core::FunctionId;
use zeron_core::status::Phase;

use super::autoscaler::Parts;
use super::ownership::Ownership;
use super::reach::Reach;
use super::settling::{SETTLED_AFTER, Settling, Verdict};

/// How often functions at work are looked at although nothing else changed: `lastActiveTime`.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Looks at objects and publishes what their status should be. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct StatusKeeper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    engine: EngineHandle,
    ownership: Arc<Mutex<Ownership>>,
    follower: OnceLock<Follower>,
    reach: OnceLock<Reach>,
    writer: StatusWriter,
    events: EventWriter,
    /// What the status of each object said last, to tell what changed.
    said: Mutex<HashMap<ObjectKey, Value>>,
    /// Objects whose target is not there yet, or not any more.
    settling: Mutex<Settling>,
    clock: MonotonicClock,
    /// Objects to look at.
    pending: Mutex<BTreeSet<ObjectKey>>,
    arrived: Notify,
}

impl StatusKeeper {
    pub(super) fn start(
        client: Client,
        parts: &Parts,
        ownership: Arc<Mutex<Ownership>>,
        events: EventWriter,
    ) -> Self {
        let keeper = Self(Arc::new(Shared {
            engine: parts.engine.clone(),
            ownership,
            follower: OnceLock::new(),
            reach: OnceLock::new(),
            writer: StatusWriter::start(client, StatusWriterOptions::default()),
            events,
            said: Mutex::default(),
            settling: Mutex::default(),
            clock: MonotonicClock::new(),
            pending: Mutex::default(),
            arrived: Notify::new(),
        }));
        tokio::spawn(keeper.clone().run());
        keeper
    }

    /// Where objects are read from, with their status.
    pub(super) fn read_from(&self, follower: Follower) -> &Follower {
        self.0.follower.get_or_init(|| follower)
    }

    /// Who knows how pods are reached.
    pub(super) fn ask(&self, reach: Reach) {
        self.0.reach.get_or_init(|| reach);
    }

    /// The objects of this function may need another status.
    pub(super) fn look_at_function(&self, function: &FunctionId) {
        let ownership = self.0.ownership.lock();
        let objects = ownership.declared(function).map(|it| it.objects.clone());
        drop(ownership);
        self.look_at(objects.unwrap_or_default());
    }

    /// These may need another status.
    pub(super) fn look_at(&self, objects: Vec<ObjectKey>) {
        if !objects.is_empty() {
            self.0.pending.lock().extend(objects);
            self.0.arrived.notify_one();
        }
    }

    /// These are gone.
    pub(super) fn forget(&self, objects: &[ObjectKey]) {
        let mut pending = self.0.pending.lock();
        for object in objects {
            pending.remove(object);
            self.disown(object);
        }
    }

    /// Nothing of it is said any more, unless it is looked at again.
    fn disown(&self, object: &ObjectKey) {
        self.0.said.lock().remove(object);
        self.0.settling.lock().forget(object);
        self.0.writer.forget(object);
    }

    async fn run(self) {
        let mut changes = self.0.engine.subscribe();
        let mut again = tokio::time::interval(LOOK_AGAIN);
        let mut at_work = BTreeSet::new();
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(function) => self.changed(&function, &mut at_work),
                    Err(RecvError::Lagged(_)) => self.all(&mut at_work),
                    Err(RecvError::Closed) => return,
                },
                () = self.0.arrived.notified() => self.publish(),
                _ = again.tick() => {
                    for function in at_work.clone() {
                        self.changed(&function, &mut at_work);
                    }
                }
            }
        }
    }

    fn changed(&self, function: &FunctionId, at_work: &mut BTreeSet<FunctionId>) {
        let status = self.0.engine.status(function);
        let is_at_work = status.is_some_and(|it| it.phase != Phase::Cold);
        match is_at_work {
            true => at_work.insert(function.clone()),
            false => at_work.remove(function),
        };
        self.look_at_function(function);
    }

    fn all(&self, at_work: &mut BTreeSet<FunctionId>) {
        for status in self.0.engine.list() {
            self.changed(&status.id, at_work);
        }
    }

    fn publish(&self) {
        let Some(follower) = self.0.follower.get() else {
            return;
        };
        let objects = std::mem::take(&mut *self.0.pending.lock());
        for key in objects {
            self.publish_one(follower, key);
        }
    }

    fn publish_one(&self, follower: &Follower, key: ObjectKey) {
        let ownership = self.0.ownership.lock();
        let Some(report) = ownership.report(&key).cloned() else {
            drop(ownership);
            // Somebody else says it now; should it be ours again, its status tells.
            self.disown(&key);
            return;
        };
        let function = report.function.as_ref();
        let target = function
            .and_then(|id| ownership.declared(id))
            .map(|it| Arc::clone(&it.target));
        drop(ownership);
        if !self.is_settled(&report) {
            return;
        }
        let Some(object) = follower.object(&key) else {
            return;
        };
        let functions: Vec<_> = function
            .and_then(|id| self.0.engine.status(id))
            .into_iter()
            .collect();
        let seen = Observation {
            report: &report,
            target: target.as_deref(),
            functions: &functions,
            is_through_service: function.is_some_and(|id| self.is_through_service(id)),
            now: self.0.clock.now(),
        };
        let patch = patch(&object, &seen);
        if let Some(patch) = &patch {
            self.tell(&report, &object["status"], &patch["status"]);
        }
        self.0.writer.publish(key, patch);
    }

    /// Whether this may be said; if not, it is looked at again when it may.
    fn is_settled(&self, report: &ObjectReport) -> bool {
        let is_missing = matches!(report.outcome, Outcome::TargetMissing { .. });
        let mut settling = self.0.settling.lock();
        let verdict = settling.find(&report.object, is_missing, Instant::now());
        drop(settling);
        if verdict == Verdict::Wait {
            let (keeper, object) = (self.clone(), report.object.clone());
            tokio::spawn(async move {
                sleep(SETTLED_AFTER).await;
                keeper.look_at(vec![object]);
            });
        }
        verdict == Verdict::Say
    }

    fn is_through_service(&self, function: &FunctionId) -> bool {
        let reach = self.0.reach.get();
        reach.is_some_and(|reach| reach.is_through_service(function))
    }

    /// Events of what a status says that it did not say before.
    fn tell(&self, report: &ObjectReport, old: &Value, changed: &Value) {
        let mut new = old.as_object().cloned().unwrap_or_default();
        new.extend(changed.as_object().cloned().unwrap_or_default());
        let new = Value::Object(new);
        let said = self
            .0
            .said
            .lock()
            .insert(report.object.clone(), new.clone());
        let old = said.as_ref().unwrap_or(old);
        for (reason, message) in of_status(&report.object.kind, old, &new) {
            self.0.events.publish(Notice {
                object: report.object.clone(),
                uid: Arc::clone(&report.uid),
                reason,
                message,
            });
        }
    }
}
