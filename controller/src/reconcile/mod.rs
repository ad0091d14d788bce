//! Keeps finalizers and child objects as they should be: what the leading controller does.
//!
//! Each object is looked at when it changes; a look makes at most one write and is safe to repeat.
//! What to do is decided in [`finalizer`] and [`children`].

mod managed;
mod watched;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use futures_util::{Stream, StreamExt, stream};
use kube::Client;
use kube::api::DynamicObject;
use kube::runtime::Controller;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use zeron_core::Timestamp;

use crate::events::{EventWriter, Notice, Reason};
use crate::projection::{ObjectKey, ObjectKind};
use crate::{children, finalizer};
use write::{ReconcileError, Writes};

pub use managed::is_ours;

/// After a write that met a newer version: its watch event is on its way.
const AFTER_CHANGE: Duration = Duration::from_millis(200);
/// After a refusal of the API server.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How often it is asked whether only labelled objects are ours.
const MANAGE_CHECK: Duration = Duration::from_secs(2);

/// How objects are reconciled.
#[derive(Clone)]
pub struct ReconcileOptions {
    /// Only these namespaces; all of them when empty.
    pub namespaces: Vec<String>,
    /// What the triggers of child ScaledObjects name as their scaler's address.
    pub scaler_address: String,
    /// Whether only labelled objects are ours now.
    pub is_labelled_only: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for ReconcileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconcileOptions")
            .field("namespaces", &self.namespaces)
            .field("scaler_address", &self.scaler_address)
            .finish_non_exhaustive()
    }
}

impl ReconcileOptions {
    /// The address that the HTTP add-on's own objects have.
    pub const SCALER_ADDRESS: &str = "keda-add-ons-http-external-scaler.keda:9090";
}

/// What all looks share.
struct Shared {
    options: ReconcileOptions,
    writes: Writes,
    events: EventWriter,
    scaled_objects: Vec<Store<DynamicObject>>,
}

/// One kind's part of it.
struct Context {
    kind: ObjectKind,
    shared: Arc<Shared>,
}

/// Reconciles until `end`. Kinds whose definition is missing are tried again.
pub async fn run(
    client: Client,
    options: ReconcileOptions,
    events: EventWriter,
    end: CancellationToken,
) {
    let mut controllers = Vec::new();
    let mut scaled_objects = Vec::new();
    for kind in watched::KINDS {
        for api in watched::apis(&client, &kind, &options.namespaces) {
            let mut controller = watched::controller(api.clone(), &kind);
            if kind == ObjectKind::ScaledObject {
                scaled_objects.push(controller.store());
            }
            if kind == ObjectKind::HttpScaledObject {
                controller = watched::with_children(controller, &client, &api);
            }
            let changes = changes(Arc::clone(&options.is_labelled_only));
            let controller = controller
                .reconcile_all_on(changes)
                .graceful_shutdown_on(end.clone().cancelled_owned());
            controllers.push((kind.clone(), controller));
        }
    }
    let shared = Arc::new(Shared {
        writes: Writes(client),
        events,
        scaled_objects,
        options,
    });
    let runs = controllers.into_iter().map(|(kind, controller)| {
        let shared = Arc::clone(&shared);
        look_after(controller, Arc::new(Context { kind, shared }))
    });
    join_all(runs).await;
}

async fn look_after(controller: Controller<DynamicObject>, context: Arc<Context>) {
    controller
        .run(reconcile, after_error, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

/// Each time other objects are ours than before.
fn changes(
    is_labelled_only: Arc<dyn Fn() -> bool + Send + Sync>,
) -> impl Stream<Item = ()> + Send + 'static {
    let was = is_labelled_only();
    stream::unfold((is_labelled_only, was), |(ask, was)| async move {
        loop {
            tokio::time::sleep(MANAGE_CHECK).await;
            let is = ask();
            if is != was {
                return Some(((), (ask, is)));
            }
        }
    })
}

fn after_error(_: Arc<DynamicObject>, error: &ReconcileError, _: Arc<Context>) -> Action {
    if matches!(error, ReconcileError::Changed) {
        return Action::requeue(AFTER_CHANGE);
    }
    tracing::warn!(error = %error, "an object is not as it should be yet");
    Action::requeue(AFTER_FAILURE)
}

async fn reconcile(
    object: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let kind = &context.kind;
    let value = serde_json::to_value(&*object).map_err(ReconcileError::Unreadable)?;
    let is_ours = is_ours(&value, (context.shared.options.is_labelled_only)());
    let Some(key) = key(kind, &value).filter(|_| is_ours) else {
        return Ok(Action::await_change());
    };
    match finalizer::step(kind, &value, is_ours) {
        finalizer::Step::Finish(restore) => {
            context.finish(&key, &value, restore.as_ref()).await?;
        }
        finalizer::Step::Add => {
            let name = finalizer::name(kind).expect("what is given a finalizer has one");
            let patch = finalizer::added(&value, name);
            context.shared.writes.json_patch(&key, &patch).await?;
        }
        finalizer::Step::Nothing if *kind == ObjectKind::HttpScaledObject => {
            context.child(&key, &value).await?;
        }
        finalizer::Step::Nothing => {}
    }
    Ok(Action::await_change())
}

impl Context {
    /// What is left to do for an object that is being deleted; then its finalizer goes.
    async fn finish(
        &self,
        key: &ObjectKey,
        object: &Value,
        restore: Option<&finalizer::Restore>,
    ) -> Result<(), ReconcileError> {
        if self.kind == ObjectKind::HttpScaledObject {
            self.child(key, object).await?;
        }
        if let Some(restore) = restore
            && let Err(error) = self.shared.writes.restore(restore).await
        {
            if !finalizer::is_over(object, now()) {
                return Err(error);
            }
            let message = format!("{} replicas are not restored: {error}", restore.replicas);
            self.say(key, object, Reason::RestoreFailed, message);
        }
        let name = finalizer::name(&self.kind).expect("only kinds with a finalizer end here");
        if let Some(patch) = finalizer::removed(object, name) {
            self.shared.writes.json_patch(key, &patch).await?;
        }
        if self.kind == ObjectKind::ScaledObject {
            let message = "the triggers are not followed any more".to_owned();
            self.say(key, object, Reason::ScaledObjectDeleted, message);
        }
        Ok(())
    }

    /// The child of an HTTPScaledObject.
    async fn child(&self, key: &ObjectKey, parent: &Value) -> Result<(), ReconcileError> {
        let siblings = self.shared.siblings(&key.namespace).await;
        let siblings: Vec<&Value> = siblings.iter().collect();
        let address = &self.shared.options.scaler_address;
        let child = ObjectKey::new(ObjectKind::ScaledObject, &key.namespace, &key.name);
        let writes = &self.shared.writes;
        match children::step(parent, &siblings, address) {
            children::Step::Nothing => Ok(()),
            children::Step::Apply(wanted) => writes.apply(&child, &wanted).await,
            children::Step::Delete { uid } => writes.delete(&child, &uid).await,
            children::Step::LetGo { owners } => writes.set_owners(&child, &owners).await,
            children::Step::Refused { message } => {
                self.say(key, parent, Reason::ChildRefused, message);
                Ok(())
            }
        }
    }

    fn say(&self, key: &ObjectKey, object: &Value, reason: Reason, message: String) {
        self.shared.events.publish(Notice {
            object: key.clone(),
            uid: object["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .into(),
            reason,
            message,
        });
    }
}

impl Shared {
    /// All ScaledObjects of a namespace, as they were seen last.
    async fn siblings(&self, namespace: &str) -> Vec<Value> {
        let mut siblings = Vec::new();
        for store in &self.scaled_objects {
            // An error means that its watch ended, which it does with this task only.
            store.wait_until_ready().await.ok();
            let all = store.state();
            let own = all
                .iter()
                .filter(|o| o.metadata.namespace.as_deref() == Some(namespace));
            siblings.extend(own.filter_map(|o| serde_json::to_value(&**o).ok()));
        }
        siblings
    }
}

fn key(kind: &ObjectKind, object: &Value) -> Option<ObjectKey> {
    let text = |field: &str| object["metadata"][field].as_str();
    let namespace = text("namespace").unwrap_or_default();
    Some(ObjectKey::new(kind.clone(), namespace, text("name")?))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
